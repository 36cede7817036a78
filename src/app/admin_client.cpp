#include "admin_client.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/system/system_error.hpp>
#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>
#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "turnpike/config/config.hpp"

namespace turnpike::app {

namespace asio = boost::asio;
namespace beast = boost::beast;
using nlohmann::json;

namespace {

constexpr std::chrono::seconds kPatience{30};
constexpr std::uint64_t kLargestAnswer = std::uint64_t{64} << 20U;

using Question = beast::http::request<beast::http::string_body>;
using Answer = beast::http::response<beast::http::string_body>;

asio::awaitable<Answer> exchange(std::string host, std::string port, Question question) {
  const auto executor = co_await asio::this_coro::executor;
  asio::ip::tcp::resolver resolver(executor);
  const auto found = co_await resolver.async_resolve(host, port, asio::use_awaitable);
  beast::tcp_stream stream(executor);
  stream.expires_after(kPatience);
  co_await stream.async_connect(found, asio::use_awaitable);
  co_await beast::http::async_write(stream, question, asio::use_awaitable);
  beast::flat_buffer buffer;
  beast::http::response_parser<beast::http::string_body> parser;
  parser.body_limit(kLargestAnswer);
  co_await beast::http::async_read(stream, buffer, parser, asio::use_awaitable);
  co_return parser.release();
}

std::string lines(const config::Faults& faults) {
  std::string text;
  for (const auto& fault : faults) text += (text.empty() ? "" : "\n") + fault;
  return text;
}

// The admin address that a running gateway wrote down; nullopt: none did.
std::optional<config::Listen> written_address(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) return std::nullopt;
  const auto written = json::parse(stream, nullptr, false);
  if (!written.is_object() || !written.contains("admin") || !written["admin"].is_string()) return std::nullopt;
  return config::parse_listen(written["admin"].get<std::string>());
}

}  // namespace

AdminClient::AdminClient(std::string host, std::string port, std::string token)
    : host_(std::move(host)), port_(std::move(port)), token_(std::move(token)) {}

std::expected<AdminClient, std::string> AdminClient::find(const GatewayPlace& place) {
  const auto found = config::find_gateway(place.config_file);
  if (!found) return std::unexpected(lines(found.error()));
  const std::filesystem::path data_dir = place.data_dir.empty() ? found->data_dir : place.data_dir;
  const auto token_file = data_dir / "admin.token";
  std::ifstream stream(token_file);
  std::string token;
  if (!stream || !std::getline(stream, token) || token.empty()) {
    return std::unexpected("cannot read " + token_file.string() +
                           "; is this the gateway's data folder, and has it been started?");
  }
  const auto listen = written_address(data_dir / "listening.json").value_or(found->admin_listen);
  return AdminClient(listen.address, std::to_string(listen.port), std::move(token));
}

std::expected<json, std::string> AdminClient::request(std::string_view method, const std::string& target,
                                                      const std::string& body) const {
  Question question;
  question.method_string({method.data(), method.size()});
  question.target(target);
  question.version(11);
  question.set(beast::http::field::host, host_ + ":" + port_);
  question.set(beast::http::field::authorization, "Bearer " + token_);
  question.set(beast::http::field::connection, "close");
  if (!body.empty()) question.set(beast::http::field::content_type, "application/json");
  question.body() = body;
  question.prepare_payload();

  asio::io_context loop;
  Answer answer;
  std::exception_ptr thrown;
  asio::co_spawn(loop, exchange(host_, port_, std::move(question)), [&](std::exception_ptr error, Answer got) {
    thrown = std::move(error);
    answer = std::move(got);
  });
  loop.run();
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const boost::system::system_error& error) {
    return std::unexpected("no gateway answers at " + host_ + ":" + port_ + " (" + error.code().message() +
                           "); is `turnpike serve` running?");
  }
  auto parsed = json::parse(answer.body(), nullptr, false);
  if (parsed.is_object() && parsed.contains("error") && parsed["error"].contains("message")) {
    return std::unexpected(parsed["error"]["message"].get<std::string>());
  }
  if (answer.result_int() != 200 || !parsed.is_object()) {
    return std::unexpected("the gateway answered with status " + std::to_string(answer.result_int()));
  }
  return parsed;
}

std::string url_encoded(std::string_view text) {
  return boost::urls::encode({text.data(), text.size()}, boost::urls::unreserved_chars);
}

}  // namespace turnpike::app
