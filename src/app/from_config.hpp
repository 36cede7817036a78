// The configuration's values as each room takes them: rooms do not know the configuration.
#pragma once

#include <vector>

#include "turnpike/api/auth_api.hpp"
#include "turnpike/api/channel_api.hpp"
#include "turnpike/api/chat_api.hpp"
#include "turnpike/api/guard.hpp"
#include "turnpike/api/queue_api.hpp"
#include "turnpike/api/token_api.hpp"
#include "turnpike/api/topup_api.hpp"
#include "turnpike/api/webhooks_api.hpp"
#include "turnpike/channel/channels.hpp"
#include "turnpike/config/config.hpp"
#include "turnpike/http/limits.hpp"
#include "turnpike/identity/access_tokens.hpp"
#include "turnpike/identity/key_ring.hpp"
#include "turnpike/identity/request_signatures.hpp"
#include "turnpike/identity/wallet_login.hpp"
#include "turnpike/inference/inference.hpp"
#include "turnpike/jobs/job_queue.hpp"
#include "turnpike/ledger/ledger.hpp"
#include "turnpike/payments/chain.hpp"
#include "turnpike/payments/facilitator.hpp"
#include "turnpike/payments/top_up.hpp"
#include "turnpike/relay/prober.hpp"
#include "turnpike/relay/relay.hpp"
#include "turnpike/scheduler/scheduler.hpp"
#include "turnpike/webhooks/webhooks.hpp"

namespace turnpike::app {

http::Limits http_limits(const config::Config& config);
ledger::Limits ledger_limits(const config::Config& config);
scheduler::BreakerRules breaker_rules(const config::Config& config);
scheduler::LineLimits line_limits(const config::Config& config);
relay::NodeClientLimits node_client_limits(const config::Config& config);
relay::ProbeRules probe_rules(const config::Config& config);
relay::RelayLimits relay_limits(const config::Config& config);
inference::InferenceLimits inference_limits(const config::Config& config);
identity::LoginTerms login_terms(const config::Config& config);
api::AuthLimits auth_limits(const config::Config& config);
identity::KeyRules key_rules(const config::Config& config);
identity::TokenTerms token_terms(const config::Config& config);
identity::SignatureTerms signature_terms(const config::Config& config);
api::HeaderSigning header_signing(const config::Config& config, const receipts::Keys& keys,
                                  const ledger::Ledger& ledger);
api::TokenLimits token_limits(const config::Config& config);

payments::FacilitatorPlace facilitator_place(const config::Payments& payments);
payments::ChainPlace chain_place(const config::Payments& payments, const std::string& url);
// Error: invalid_request when an address has a wrong checksum (EIP-55).
Result<payments::TopUpRules> top_up_rules(const config::Payments& payments, const std::string& public_url);
api::TopUpLimits top_up_limits(const config::Payments& payments);

channel::Rules channel_rules(const config::Config& config);
api::ChannelLimits channel_limits(const config::Config& config);
api::WebhookLimits webhook_limits(const config::Config& config);
webhooks::Rules webhook_rules(const config::Config& config);
jobs::Rules queue_rules(const config::Config& config);
api::QueueLimits queue_limits(const config::Config& config);

std::vector<inference::Model> models_of(const config::Config& config);
// Owners are looked up in the ledger.
std::vector<scheduler::NodeSpec> nodes_of(const config::Config& config, const ledger::Ledger& ledger);
// The owners of nodes that have no account there, a line each.
config::Faults unknown_owners(const config::Config& config, const ledger::Ledger& ledger);
api::Tiers tiers_of(const config::Config& config);

}  // namespace turnpike::app
