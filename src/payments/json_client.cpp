#include "json_client.hpp"

#include <stdexcept>
#include <utility>

namespace turnpike::payments {

using boost::asio::awaitable;

namespace {

constexpr std::size_t kResolverThreads = 1;  // one server

http::Place place_of(const std::string& url) {
  auto place = http::parse_place(url);
  if (!place) throw std::invalid_argument("one of the URLs is malformed");  // it may hold a key
  return *std::move(place);
}

}  // namespace

JsonClient::JsonClient(boost::asio::any_io_executor executor, Deadlines& deadlines, const JsonServer& server)
    : poster_(std::move(executor), deadlines, server.ca_file, kResolverThreads),
      place_(place_of(server.url)),
      head_lines_("Content-Type: application/json\r\nAccept: application/json\r\n"),
      max_answer_bytes_(server.max_answer_bytes) {
  if (!server.bearer.empty()) head_lines_ += "Authorization: Bearer " + server.bearer + "\r\n";
}

awaitable<std::expected<http::PostAnswer, std::string>> JsonClient::post(std::string_view path, std::string_view body,
                                                                         std::chrono::milliseconds timeout,
                                                                         std::stop_token stop) const {
  http::Post what{.target = place_.target + std::string(path),
                  .head_lines = head_lines_,
                  .body = body,
                  .timeout = timeout,
                  .max_answer_bytes = max_answer_bytes_};
  co_return co_await poster_.post(place_, std::move(what), std::move(stop));
}

}  // namespace turnpike::payments
