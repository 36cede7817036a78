#include "turnpike/http/message.hpp"

#include <gtest/gtest.h>

#include <boost/asio/buffer.hpp>
#include <string>
#include <string_view>

#include "turnpike/http/listener.hpp"
#include "turnpike/http/request.hpp"

namespace turnpike::http {
namespace {

TEST(HasToken, finds_a_token_in_a_list) {
  EXPECT_TRUE(has_token("text/html", "text/html"));
  EXPECT_TRUE(has_token("a, TEXT/html;q=1 ,b", "text/html"));
  EXPECT_TRUE(has_token("keep-alive,\tClose", "close"));
}

TEST(HasToken, does_not_find_a_part_of_one) {
  EXPECT_FALSE(has_token("", "close"));
  EXPECT_FALSE(has_token("closed, not close", "close"));
  EXPECT_FALSE(has_token("*/*", "text/html"));
  EXPECT_FALSE(has_token(",,", "close"));
}

TEST(Query, has_the_first_value_of_a_name) {
  Request request;
  request.query = "a=1&bb=x%20y&a=2&flag&e=";
  EXPECT_EQ(request.query_value("a"), "1");
  EXPECT_EQ(request.query_value("bb"), "x y");
  EXPECT_EQ(request.query_value("flag"), "");
  EXPECT_EQ(request.query_value("e"), "");
}

TEST(Query, has_no_value_of_a_name_that_is_not_there) {
  Request request;
  EXPECT_EQ(request.query_value("a"), std::nullopt);
  request.query = "ab=1&c=a";
  EXPECT_EQ(request.query_value("a"), std::nullopt);
}

TEST(Accept, a_wildcard_does_not_name_a_type) {
  Request request;
  EXPECT_FALSE(request.accepts_by_name("text/html"));
  request.fields.add({Field::accept, "Accept", "*/*"});
  EXPECT_FALSE(request.accepts_by_name("text/html"));
  request.fields.clear();
  request.fields.add({Field::accept, "Accept", "application/json, text/html;q=0.9"});
  EXPECT_TRUE(request.accepts_by_name("text/html"));
}

TEST(SplitAddress, takes_a_host_and_a_port) {
  EXPECT_EQ(split_address("127.0.0.1:80"), (std::pair<std::string, std::uint16_t>("127.0.0.1", 80)));
  EXPECT_EQ(split_address("[::1]:65535"), (std::pair<std::string, std::uint16_t>("::1", 65535)));
  EXPECT_EQ(split_address("localhost:0"), (std::pair<std::string, std::uint16_t>("localhost", 0)));
}

TEST(SplitAddress, refuses_what_is_none) {
  for (const std::string address :
       {"", "host", ":80", "host:", "host:x", "host:80x", "host:65536", "host:-1", "[]:80"}) {
    EXPECT_FALSE(split_address(address).has_value()) << address;
  }
}

class ParserTest : public testing::Test {
 protected:
  template <class Parser>
  boost::system::error_code parse(Parser& parser, const std::string& text) {
    boost::system::error_code error;
    parser.eager(true);
    std::size_t used = 0;
    while (used < text.size() && !error && !parser.is_done()) {
      used += parser.put(boost::asio::buffer(text.data() + used, text.size() - used), error);
    }
    return error;
  }
  static void collect(void* owner, std::string_view bytes) { static_cast<std::string*>(owner)->append(bytes); }

  Fields fields;
  std::string body;
  MessageParser<true> request{fields, {&collect, &body}};
};

using Parser = ParserTest;

TEST_F(Parser, reads_a_request) {
  const std::string text =
      "POST /v1/x?y=1 HTTP/1.1\r\nHost: h\r\nX-Own:  some value \r\nContent-Length: 5\r\n\r\nhello";
  ASSERT_FALSE(parse(request, text));
  EXPECT_TRUE(request.is_done());
  EXPECT_EQ(request.verb, Verb::post);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/v1/x?y=1");
  EXPECT_EQ(request.version, 11);
  EXPECT_EQ(body, "hello");
}

TEST_F(Parser, finds_fields_by_id_and_by_name_in_any_case) {
  const std::string text = "GET / HTTP/1.1\r\nhOsT: h\r\nX-Own:  some value \r\nX-Own: other\r\nX-Empty:\r\n\r\n";
  ASSERT_FALSE(parse(request, text));
  EXPECT_EQ(fields.find(Field::host), "h");
  EXPECT_EQ(fields.find("x-own"), "some value");
  EXPECT_EQ(fields.find("X-EMPTY"), "");
  EXPECT_EQ(fields.find("x-none"), std::nullopt);
  EXPECT_EQ(fields.find(Field::accept), std::nullopt);
  EXPECT_EQ(fields.all().size(), 4U);
}

TEST_F(Parser, fields_move_with_their_bytes) {
  const std::string text = "GET / HTTP/1.1\r\nHost: example\r\n\r\n";
  ASSERT_FALSE(parse(request, text));
  std::string both = text + text;
  fields.clear();
  const std::string_view all = both;
  const auto at = all.find("example");
  fields.add({Field::host, all.substr(at - 6, 4), all.substr(at, 7)});
  fields.rebase(static_cast<std::ptrdiff_t>(text.size()));
  EXPECT_EQ(fields.find(Field::host)->data(), both.data() + text.size() + at);
  EXPECT_EQ(fields.find("host"), "example");
}

TEST_F(Parser, refuses_folded_lines) {
  const std::string text = "GET / HTTP/1.1\r\nHost: h\r\nX-Folded: one\r\n two\r\n\r\n";
  EXPECT_TRUE(parse(request, text).failed());
}

TEST_F(Parser, puts_chunks_together) {
  const std::string text = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
  ASSERT_FALSE(parse(request, text));
  EXPECT_TRUE(request.is_done());
  EXPECT_EQ(body, "abcde");
}

TEST_F(Parser, refuses_what_is_not_http) {
  for (const std::string text :
       {"GET /\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "G(T / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    Fields own;
    MessageParser<true> parser(own, {&collect, &body});
    EXPECT_TRUE(parse(parser, text).failed()) << text;
  }
}

TEST_F(Parser, reads_a_response) {
  MessageParser<false> response(fields, {&collect, &body});
  const std::string text = "HTTP/1.0 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno";
  ASSERT_FALSE(parse(response, text));
  EXPECT_EQ(response.status, 503U);
  EXPECT_EQ(response.version, 10);
  EXPECT_EQ(fields.find(Field::retry_after), "7");
  EXPECT_EQ(body, "no");
}

}  // namespace
}  // namespace turnpike::http
