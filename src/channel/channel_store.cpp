#include "channel_store.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "turnpike/storage/connection.hpp"
#include "turnpike/storage/times.hpp"

namespace turnpike::channel {
namespace {

using storage::Connection;
using storage::micros;
using storage::Statement;
using storage::wall_time;

constexpr std::int64_t kPurgedAtOnce = 5'000;

// The columns of every SELECT of messages, in their order: id, channel, author, author_name, avatar, content,
// created_at.
Message message_of(const Statement& row) {
  return {.id = row.integer(0),
          .channel = std::string(row.text(1)),
          .author = std::string(row.text(2)),
          .author_name = std::string(row.text(3)),
          .avatar = std::string(row.text(4)),
          .content = std::string(row.text(5)),
          .created_at = wall_time(row.integer(6))};
}

std::vector<Message> messages_of(Statement& query) {
  std::vector<Message> messages;
  while (query.step()) messages.push_back(message_of(query));
  return messages;
}

}  // namespace

void WriteMessage::run(Connection& connection) {
  auto insert = connection.prepare(
      "INSERT INTO channel_messages (channel, account_id, author, author_name, avatar, content, created_at) "
      "SELECT ?, id, coalesce((SELECT address FROM wallets WHERE account_id = accounts.id LIMIT 1), public_id), "
      "?, ?, ?, ? FROM accounts WHERE id = ? RETURNING id, author");
  insert.bind(std::string_view(posted.channel))
      .bind_text_or_null(posted.author_name)
      .bind_text_or_null(posted.avatar)
      .bind(std::string_view(posted.content))
      .bind(micros(message.created_at))
      .bind(posted.account);
  if (!insert.step()) throw storage::StorageError("a message of an account that is not there", true);
  message.id = insert.integer(0);
  message.author = insert.text(1);
  insert.run();
}

void ReadPage::run(Connection& connection) {
  const auto most = std::numeric_limits<std::int64_t>::max();
  if (page.after) {
    auto query = connection.prepare(
        "SELECT id, channel, author, author_name, avatar, content, created_at FROM channel_messages "
        "WHERE channel = ? AND created_at > ? AND created_at < ? ORDER BY created_at LIMIT ?");
    query.bind(std::string_view(page.channel)).bind(micros(*page.after));
    query.bind(page.before ? micros(*page.before) : most).bind(std::int64_t{page.limit});
    found = messages_of(query);
    return;
  }
  auto query = connection.prepare(
      "SELECT id, channel, author, author_name, avatar, content, created_at FROM channel_messages "
      "WHERE channel = ? AND created_at < ? ORDER BY created_at DESC LIMIT ?");
  query.bind(std::string_view(page.channel)).bind(page.before ? micros(*page.before) : most);
  query.bind(std::int64_t{page.limit});
  found = messages_of(query);
  std::ranges::reverse(found);
}

void ReadOn::run(Connection& connection) {
  auto query = connection.prepare(
      "SELECT id, channel, author, author_name, avatar, content, created_at FROM channel_messages "
      "WHERE channel = ? AND id > ? ORDER BY id LIMIT ?");
  query.bind(std::string_view(channel)).bind(after).bind(static_cast<std::int64_t>(limit));
  found = messages_of(query);
}

void PurgeMessages::run(Connection& connection) {
  connection
      .prepare(
          "DELETE FROM channel_messages WHERE id IN "
          "(SELECT id FROM channel_messages WHERE created_at < ? LIMIT ?)")
      .bind(micros(before))
      .bind(kPurgedAtOnce)
      .run();
  more = connection.changes() == kPurgedAtOnce;
}

Opening load(Connection& connection) {
  auto query = connection.prepare("SELECT coalesce(max(id), 0), coalesce(max(created_at), 0) FROM channel_messages");
  query.step();
  return {.last_id = query.integer(0), .last_created = wall_time(query.integer(1))};
}

}  // namespace turnpike::channel
