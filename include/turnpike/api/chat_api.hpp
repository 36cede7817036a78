// POST /v1/chat/completions, /v1/completions, /v1/embeddings.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "turnpike/api/guard.hpp"
#include "turnpike/api/queue_api.hpp"
#include "turnpike/http/router.hpp"
#include "turnpike/inference/inference.hpp"
#include "turnpike/receipts/keys.hpp"

namespace turnpike::api {

enum class SignedHeaders : std::uint8_t { dialect, always, never };

// What signs an answer's hold and charge, and for whom.
struct HeaderSigning {
  const receipts::Keys& keys;
  const ledger::Ledger& ledger;
  SignedHeaders when = SignedHeaders::dialect;
};

// Loop thread only.
class ChatApi {
 public:
  ChatApi(const Guard& guard, inference::Inference& inference, QueueApi& queue, HeaderSigning signing)
      : guard_(guard), inference_(inference), queue_(queue), signing_(signing) {}
  void add_routes(http::Router& router);

 private:
  boost::asio::awaitable<void> handle(http::Exchange& exchange, scan::RequestKind kind);
  boost::asio::awaitable<void> answer_whole(http::Exchange& exchange, Caller caller,
                                            std::unique_ptr<inference::Job> job);
  boost::asio::awaitable<void> answer_stream(http::Exchange& exchange, Caller caller,
                                             std::unique_ptr<inference::Job> job);

  const Guard& guard_;
  inference::Inference& inference_;
  QueueApi& queue_;
  HeaderSigning signing_;
};

}  // namespace turnpike::api
