#include "turnpike/api/channel_api.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "json_body.hpp"
#include "paging.hpp"
#include "reply.hpp"
#include "turnpike/base/text.hpp"

namespace turnpike::api {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

constexpr std::string_view kBodySetting = "channel_limits.max_body_bytes";
constexpr std::string_view kIdPrefix = "msg-";
constexpr std::size_t kMostNameBytes = 32;
constexpr std::size_t kMostAvatarBytes = 2048;

std::string id_text(const channel::Message& message) {
  return std::string(kIdPrefix) + std::to_string(message.id);
}

json render(const channel::Message& message) {
  return {{"id", id_text(message)},     {"channel", message.channel},
          {"author", message.author},   {"authorName", or_null(message.author_name)},
          {"authorType", "api"},        {"avatar", or_null(message.avatar)},
          {"content", message.content}, {"createdAt", time_text(message.created_at)}};
}

// JSON has no raw line ends: one line of data is the whole message.
void append_event(std::string& out, const channel::Message& message) {
  out.append("id: ").append(id_text(message)).append("\ndata: ").append(render(message).dump()).append("\n\n");
}

bool is_name(std::string_view text) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789_-";
  return !text.empty() && text.size() <= kMostNameBytes && text.find_first_not_of(kAllowed) == std::string_view::npos;
}

// Shown by others' browsers: https alone, and nothing that could end a quoted attribute.
bool is_avatar(std::string_view text) {
  constexpr std::string_view kScheme = "https://";
  return text.starts_with(kScheme) && text.size() > kScheme.size() && text.size() <= kMostAvatarBytes &&
         std::ranges::all_of(text, [](char byte) { return byte > ' ' && byte < '\x7f'; }) &&
         text.find_first_of("\"'<>\\`") == std::string_view::npos;
}

Result<channel::NewMessage> read_message(const json& body, std::size_t max_characters) {
  auto channel = text(body, "channel");
  if (!channel) return std::unexpected(std::move(channel).error());
  auto content = text(body, "content");
  if (!content) return std::unexpected(std::move(content).error());
  if (content->empty() || characters_of(*content) > max_characters) {
    return fail(Fault::invalid_request, "content must have 1 to " + std::to_string(max_characters) + " characters",
                "content");
  }
  auto name = optional_text(body, "name");
  if (!name) return std::unexpected(std::move(name).error());
  if (*name && !is_name(**name)) {
    return fail(Fault::invalid_request, "name must be 1 to 32 of a-z, 0-9, _ and -", "name");
  }
  auto avatar = optional_text(body, "avatar");
  if (!avatar) return std::unexpected(std::move(avatar).error());
  if (*avatar && !is_avatar(**avatar)) {
    return fail(Fault::invalid_request, "avatar must be an https URL of at most 2048 bytes", "avatar");
  }
  return channel::NewMessage{.channel = *std::move(channel),
                             .author_name = name->value_or(""),
                             .avatar = avatar->value_or(""),
                             .content = *std::move(content)};
}

Result<std::string> read_channel(const http::Request& request) {
  auto channel = request.query_value("channel");
  if (!channel || channel->empty()) {
    return fail(Fault::invalid_request, "channel must be the name of a channel", "channel");
  }
  return *std::move(channel);
}

Result<std::optional<WallTime>> read_bound(const http::Request& request, const char* name) {
  const auto value = request.query_value(name);
  if (!value) return std::nullopt;
  const auto micros = parse_rfc3339(*value);
  if (!micros) {
    return fail(Fault::invalid_request, std::string(name) + " must be a time, as 2030-01-31T12:00:00.000Z", name);
  }
  return WallTime(std::chrono::microseconds(*micros));
}

Result<channel::Page> read_page(const http::Request& request) {
  auto channel = read_channel(request);
  if (!channel) return std::unexpected(std::move(channel).error());
  const auto paging = read_paging(request);
  if (!paging) return std::unexpected(paging.error());
  const auto before = read_bound(request, "before");
  if (!before) return std::unexpected(before.error());
  const auto after = read_bound(request, "after");
  if (!after) return std::unexpected(after.error());
  return channel::Page{.channel = *std::move(channel), .limit = paging->limit, .before = *before, .after = *after};
}

// The id of the last message that a reader has; none: it begins now.
Result<std::optional<std::int64_t>> read_last_id(const http::Request& request) {
  const auto field = request.fields.find("last-event-id");
  if (!field || field->empty()) return std::nullopt;
  const auto digits = field->starts_with(kIdPrefix) ? field->substr(kIdPrefix.size()) : std::string_view();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size() || number < 0) {
    return fail(Fault::invalid_request, "Last-Event-ID must be the id of a message", "Last-Event-ID");
  }
  return number;
}

}  // namespace

void ChannelApi::add_routes(http::Router& router) {
  router.add(http::Verb::post, "/v1/channel", reply([this](const http::Request& request) { return post(request); }));
  router.add(http::Verb::get, "/v1/channel", reply([this](const http::Request& request) { return read(request); }));
  router.add(http::Verb::get, "/v1/channel/stream", [this](http::Exchange& exchange) { return stream(exchange); });
}

awaitable<http::Response> ChannelApi::post(const http::Request& request) {
  const auto caller = guard_.identify(request, identity::Scope::chat_write);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  const auto posted = co_await post_for(*caller, request);
  if (!posted) co_return guard_.refuse(&request, posted.error());
  http::Response response;
  response.status = 201;
  response.body = render(*posted).dump();
  co_return response;
}

awaitable<Result<channel::Message>> ChannelApi::post_for(const Caller& caller, const http::Request& request) {
  const auto body = read_object(request, limits_.max_body_bytes, kBodySetting);
  if (!body) co_return std::unexpected(body.error());
  auto message = read_message(*body, limits_.max_characters);
  if (!message) co_return std::unexpected(std::move(message).error());
  const auto verdict = posts_.admit(std::to_string(caller.account), clock_.now());
  if (!verdict.allowed) co_return std::unexpected(limits::too_many(verdict));
  message->account = caller.account;
  co_return co_await channels_.post(*std::move(message));
}

awaitable<http::Response> ChannelApi::read(const http::Request& request) {
  const auto caller = guard_.identify(request, identity::Scope::chat_read);
  if (!caller) co_return guard_.refuse(&request, caller.error());
  auto page = read_page(request);
  if (!page) co_return guard_.refuse(&request, page.error());
  const auto messages = co_await channels_.read(*std::move(page));
  if (!messages) co_return guard_.refuse(&request, messages.error());
  json data = json::array();
  for (const auto& message : *messages) data.push_back(render(message));
  http::Response response;
  response.body = json{{"messages", std::move(data)}}.dump();
  co_return response;
}

Result<std::unique_ptr<channel::Reader>> ChannelApi::follow(const http::Request& request) {
  const auto caller = guard_.identify(request, identity::Scope::chat_read);
  if (!caller) return std::unexpected(caller.error());
  const auto name = read_channel(request);
  if (!name) return std::unexpected(name.error());
  const auto last_id = read_last_id(request);
  if (!last_id) return std::unexpected(last_id.error());
  return channels_.follow(*name, caller->account, *last_id);
}

awaitable<void> ChannelApi::stream(http::Exchange& exchange) {
  const auto reader = follow(exchange.request());
  if (!reader) {
    co_await exchange.send(guard_.refuse(&exchange.request(), reader.error()));
    co_return;
  }
  if (exchange.request().verb == http::Verb::head) {
    http::Response head;
    head.content_type = "text/event-stream";
    co_await exchange.send(head);
    co_return;
  }
  exchange.start_stream(200, "text/event-stream", "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n");
  std::string text = ": reading\n\n";  // the head goes out with it
  const auto gone = exchange.client_gone();
  while (exchange.write(text) || co_await exchange.written()) {
    const auto news = co_await (*reader)->next(limits_.keep_alive_interval, gone);
    using enum channel::Reader::News;
    if (news == behind || news == over) break;
    text.clear();
    for (const auto& message : (*reader)->messages) append_event(text, *message);
    if (news == silence) text = ": keep-alive\n\n";
  }
  // Behind, or at an end of the gateway: an EventSource comes back with the id of its last message.
  if (!gone.stop_requested()) co_await exchange.finish("");
}

}  // namespace turnpike::api
