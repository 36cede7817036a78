#include "nonce_store.hpp"

#include <algorithm>

#include "turnpike/storage/connection.hpp"

namespace turnpike::identity {

void UsedNonceRow::run(storage::Connection& connection) {
  connection.prepare("DELETE FROM used_nonces WHERE ends_at <= ?").bind(now).run();
  const auto* digest = static_cast<const char*>(static_cast<const void*>(nonce.digest.data()));
  connection.prepare("INSERT INTO used_nonces (digest, key_id, ends_at) VALUES (?,?,?)")
      .bind_blob({digest, nonce.digest.size()})
      .bind(std::string_view(nonce.key_id))
      .bind(nonce.ends_at)
      .run();
}

std::vector<UsedNonce> load_used_nonces(storage::Connection& connection, std::int64_t now) {
  std::vector<UsedNonce> nonces;
  auto query = connection.prepare("SELECT digest, key_id, ends_at FROM used_nonces WHERE ends_at > ?");
  query.bind(now);
  while (query.step()) {
    UsedNonce& nonce = nonces.emplace_back();
    std::ranges::copy(query.text(0).substr(0, nonce.digest.size()), nonce.digest.begin());
    nonce.key_id = query.text(1);
    nonce.ends_at = query.integer(2);
  }
  return nonces;
}

}  // namespace turnpike::identity
