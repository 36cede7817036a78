// Logging in with a wallet: the message it must sign, and whether what comes back is that. No I/O.
//
// Thread: the loop's.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "turnpike/base/clock.hpp"
#include "turnpike/base/error.hpp"
#include "turnpike/identity/nonce_book.hpp"
#include "turnpike/identity/sign_in_message.hpp"

namespace turnpike::identity {

struct LoginTerms {
  std::string public_url = {};    // http:// or https://: the messages' URI, and its authority their domain
  std::string network_name = {};  // for the statement that the wallet shows
  std::chrono::milliseconds nonce_lifetime{};
  std::size_t max_nonces = 0;
};

struct Challenge {
  std::string message;
  std::string nonce;
  WallTime expires_at{};
};

class WalletLogin {
 public:
  // Error: invalid_request when the URL has no host, or characters that none has (RFC 3986).
  [[nodiscard]] static Result<WalletLogin> open(LoginTerms terms, const Clock& clock);

  // The message that the wallet must sign. `chain` is a chain of CAIP-2: "eip155:" and its id, or "solana". Errors:
  // invalid_request with the member at fault, service_unavailable when there are as many nonces as the limit,
  // internal_error when the public URL is malformed.
  [[nodiscard]] Result<Challenge> challenge(std::string_view address, std::string_view chain);

  // The wallet that signed `message`; its nonce is spent by that, and by nothing less. A client may write the message
  // itself around the challenge's nonce, as long as its terms are the challenge's. Errors: invalid_request with the
  // member when the message is none or the signature is not written as one; else invalid_api_key, with the reason.
  [[nodiscard]] Result<Wallet> verify(std::string_view message, std::string_view signature);

 private:
  WalletLogin(LoginTerms terms, const Clock& clock);
  [[nodiscard]] Result<void> check_terms(const SignInMessage& message) const;
  std::string scheme_;
  std::string domain_;
  std::string uri_;
  std::string statement_;
  std::chrono::milliseconds lifetime_;
  NonceBook nonces_;
  const Clock* clock_;
};

}  // namespace turnpike::identity
