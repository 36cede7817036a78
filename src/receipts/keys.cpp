#include "turnpike/receipts/keys.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <ranges>
#include <system_error>
#include <utility>

#include "key_store.hpp"
#include "turnpike/base/encoding.hpp"
#include "turnpike/identity/signing_key.hpp"
#include "turnpike/storage/database.hpp"

namespace turnpike::receipts {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPurpose = "the key for receipts";
constexpr std::size_t kIdBytes = 8;

std::string id_of(std::string_view public_key) {
  const auto digest = sha256(public_key);
  const std::string_view bytes(static_cast<const char*>(static_cast<const void*>(digest.data())), kIdBytes);
  return "rk_" + to_hex(bytes);
}

WallTime whole_millis(WallTime at) {
  return std::chrono::floor<std::chrono::milliseconds>(at);
}

struct Pair {
  PublicKey half;
  std::optional<identity::SigningKey> signing;  // none: its file is gone
};

}  // namespace

struct Keys::State {
  State(storage::Database& where, const Clock& time, fs::path folder)
      : database(where), clock(time), data_dir(std::move(folder)) {}

  [[nodiscard]] std::string file_of(const std::string& id) const {
    return (data_dir / ("receipt-" + id + ".key")).string();
  }
  Result<Pair> make();
  void add(Pair pair);

  storage::Database& database;
  const Clock& clock;
  fs::path data_dir;
  std::vector<Pair> keys;
  std::optional<WallTime> coming;  // from when a key is current that is being written down
};

// A new key, in its file. It gets its name when it is known, so one that a crash left without is used.
Result<Pair> Keys::State::make() {
  const auto nameless = (data_dir / "receipt-new.key").string();
  auto signing = identity::SigningKey::open(nameless, kPurpose);
  if (!signing) return std::unexpected(std::move(signing).error());
  PublicKey half{.id = {}, .public_key = signing->public_key(), .from = whole_millis(clock.wall())};
  half.id = id_of(half.public_key);
  std::error_code failed;
  fs::rename(nameless, file_of(half.id), failed);
  if (failed) return fail(Fault::internal_error, std::string(kPurpose) + " cannot be written: " + failed.message());
  return Pair{.half = std::move(half), .signing = *std::move(signing)};
}

void Keys::State::add(Pair pair) {
  if (!keys.empty() && !keys.back().half.until) keys.back().half.until = pair.half.from;
  keys.push_back(std::move(pair));
}

Keys::Keys(std::unique_ptr<State> state) : state_(std::move(state)) {}
Keys::~Keys() = default;

Result<std::unique_ptr<Keys>> Keys::open(storage::Database& database, const Clock& clock, const std::string& data_dir) {
  auto state = std::make_unique<State>(database, clock, data_dir);
  std::vector<PublicKey> stored;
  auto loaded = database.run_now([&](storage::Connection& connection) { stored = load_keys(connection); });
  if (!loaded) return std::unexpected(std::move(loaded).error());
  for (auto& half : stored) {
    const auto file = state->file_of(half.id);
    std::optional<identity::SigningKey> signing;
    std::error_code failed;
    if (fs::exists(file, failed)) {
      auto opened = identity::SigningKey::open(file, kPurpose);
      if (!opened) return std::unexpected(std::move(opened).error());
      signing = *std::move(opened);
    } else {
      spdlog::warn("receipts: {} is gone: what was signed by it can be checked, but not be signed again", file);
    }
    state->keys.push_back({.half = std::move(half), .signing = std::move(signing)});
  }
  if (state->keys.empty() || !state->keys.back().signing) {
    auto made = state->make();
    if (!made) return std::unexpected(std::move(made).error());
    AddKey add(made->half);
    auto added = database.run_now([&](storage::Connection& connection) { add.run(connection); });
    if (!added) return std::unexpected(std::move(added).error());
    spdlog::info("receipts: signed by {} from now on", made->half.id);
    state->add(*std::move(made));
  }
  return std::unique_ptr<Keys>(new Keys(std::move(state)));
}

Result<Signature> Keys::sign(std::string_view statement, WallTime at) const {
  if (state_->coming && at >= *state_->coming) {
    return std::unexpected(Error{.fault = Fault::service_unavailable,
                                 .message = "The key that signs is being changed; try again.",
                                 .retry_after = std::chrono::seconds(1)});
  }
  const auto begun = [at = whole_millis(at)](const Pair& pair) { return pair.half.from <= at; };
  const auto newest_first = std::views::reverse(state_->keys);
  const auto found = std::ranges::find_if(newest_first, begun);
  // A clock that was set back: there was no other key.
  const Pair& pair = found == newest_first.end() ? state_->keys.front() : *found;
  if (!pair.signing) {
    return fail(Fault::service_unavailable, "The key that signed at that time is gone from this gateway.");
  }
  return Signature{.key_id = pair.half.id, .bytes = pair.signing->sign(statement)};
}

std::vector<PublicKey> Keys::all() const {
  std::vector<PublicKey> keys;
  keys.reserve(state_->keys.size());
  for (const Pair& pair : state_->keys) keys.push_back(pair.half);
  return keys;
}

boost::asio::awaitable<Result<PublicKey>> Keys::rotate() {
  if (state_->coming) co_return fail(Fault::conflict, "The key is being changed already.");
  auto made = state_->make();
  if (!made) co_return std::unexpected(std::move(made).error());
  auto change = std::make_shared<AddKey>(made->half);
  if (auto queued = state_->database.write(change, storage::Queueing::bounded); !queued) {
    co_return std::unexpected(std::move(queued).error());
  }
  state_->coming = made->half.from;
  auto written = co_await storage::finished(change);
  state_->coming.reset();
  if (!written) co_return std::unexpected(std::move(written).error());
  PublicKey half = made->half;
  state_->add(*std::move(made));
  co_return half;
}

}  // namespace turnpike::receipts
