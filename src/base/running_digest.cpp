#include "turnpike/base/running_digest.hpp"

#include <openssl/evp.h>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <stdexcept>
#include <vector>

namespace turnpike {
namespace {

constexpr std::size_t kMostSpares = 256;

// Making a context and looking its algorithm up would cost more than the digest of a short text.
struct Spares {
  EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  std::vector<EVP_MD_CTX*> contexts = {};
  Spares() = default;
  Spares(const Spares&) = delete;
  Spares& operator=(const Spares&) = delete;
  ~Spares() {
    for (EVP_MD_CTX* context : contexts) EVP_MD_CTX_free(context);
    EVP_MD_free(algorithm);
  }
};

Spares& spares() {
  thread_local Spares here;
  return here;
}

EVP_MD_CTX* context_of(void* state) {
  return static_cast<EVP_MD_CTX*>(state);
}

}  // namespace

RunningSha256::RunningSha256() {
  Spares& here = spares();
  EVP_MD_CTX* context = nullptr;
  if (here.contexts.empty()) {
    context = EVP_MD_CTX_new();
  } else {
    context = here.contexts.back();
    here.contexts.pop_back();
  }
  state_ = context;
  if (context == nullptr || EVP_DigestInit_ex2(context, here.algorithm, nullptr) != 1) {
    EVP_MD_CTX_free(context);
    throw std::runtime_error("SHA-256 failed");
  }
}

RunningSha256::~RunningSha256() {
  if (state_ == nullptr) return;
  auto& contexts = spares().contexts;
  if (contexts.size() < kMostSpares) {
    contexts.push_back(context_of(state_));
  } else {
    EVP_MD_CTX_free(context_of(state_));
  }
}

void RunningSha256::add(std::string_view bytes) {
  if (EVP_DigestUpdate(context_of(state_), bytes.data(), bytes.size()) != 1) throw std::runtime_error("SHA-256 failed");
}

Sha256 RunningSha256::finish() {
  Sha256 digest{};
  if (EVP_DigestFinal_ex(context_of(state_), digest.data(), nullptr) != 1) throw std::runtime_error("SHA-256 failed");
  return digest;
}

boost::asio::awaitable<Sha256> sha256_in_turns(std::string_view bytes) {
  const auto executor = co_await boost::asio::this_coro::executor;
  RunningSha256 digest;
  while (bytes.size() > kDigestTurnBytes) {
    digest.add(bytes.substr(0, kDigestTurnBytes));
    bytes.remove_prefix(kDigestTurnBytes);
    co_await boost::asio::post(executor, boost::asio::use_awaitable);
  }
  digest.add(bytes);
  co_return digest.finish();
}

}  // namespace turnpike
