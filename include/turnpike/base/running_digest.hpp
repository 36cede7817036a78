// SHA-256 of bytes that come piece by piece.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <string_view>
#include <utility>

#include "turnpike/base/encoding.hpp"

namespace turnpike {

// One thread at a time, and the thread it was made on: what OpenSSL needs for it is used again by the next one there.
class RunningSha256 {
 public:
  RunningSha256();
  ~RunningSha256();
  RunningSha256(RunningSha256&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  RunningSha256& operator=(RunningSha256&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  RunningSha256(const RunningSha256&) = delete;
  RunningSha256& operator=(const RunningSha256&) = delete;

  void add(std::string_view bytes);
  // Of all that was added. Nothing may be added afterwards.
  [[nodiscard]] Sha256 finish();

 private:
  void* state_;  // an EVP_MD_CTX
};

// As much as is digested in one piece where others wait: some 0.15 ms.
inline constexpr std::size_t kDigestTurnBytes = std::size_t{256} * 1024;
// SHA-256 of `bytes`, which must stay, in turns with whatever else the loop has to do. Below two turns sha256() is as
// good. Loop thread only.
boost::asio::awaitable<Sha256> sha256_in_turns(std::string_view bytes);

}  // namespace turnpike
