#include "turnpike/relay/sse_splitter.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace turnpike::relay {
namespace {

constexpr std::string_view kStream =
    ": hello\n\ndata: {\"a\":1}\n\nevent: x\ndata:two\nid: 7\n\r\ndata: three\r\n\r\ndata: a\ndata: b\r\ndata\n\n"
    "\n\nretry: 5\n\ndatabase: no\n\ndata:  spaced \n\n: keep-alive\n\ndata: [DONE]\n\n";

const std::vector<std::string> kEvents{"{\"a\":1}", "two", "three", "a\nb\n", " spaced ", "[DONE]"};

void drain(SseSplitter& splitter, std::vector<std::string>& events) {
  while (const auto event = splitter.next()) events.emplace_back(*event);
}

std::vector<std::string> split(std::string_view stream, std::size_t max_event_bytes = 1024) {
  SseSplitter splitter(max_event_bytes);
  std::vector<std::string> events;
  splitter.append(stream);
  drain(splitter, events);
  return events;
}

TEST(SseSplitter, hands_out_the_data_of_each_event) {
  EXPECT_EQ(split(kStream), kEvents);
}

TEST(SseSplitter, it_does_not_matter_where_the_stream_is_cut) {
  for (std::size_t cut = 0; cut <= kStream.size(); ++cut) {
    SseSplitter splitter(1024);
    std::vector<std::string> events;
    splitter.append(kStream.substr(0, cut));
    drain(splitter, events);
    splitter.append(kStream.substr(cut));
    drain(splitter, events);
    EXPECT_EQ(events, kEvents) << cut;
  }
}

TEST(SseSplitter, it_does_not_matter_how_often_the_stream_is_cut) {
  std::mt19937_64 rng(1);
  std::string stream;
  std::vector<std::string> expected;
  for (int i = 0; i < 40; ++i) {
    stream += kStream;
    expected.insert(expected.end(), kEvents.begin(), kEvents.end());
  }
  for (const std::size_t most : {1U, 2U, 7U, 100U, 5000U}) {
    SseSplitter splitter(1024);
    std::vector<std::string> events;
    for (std::size_t at = 0; at < stream.size();) {
      const auto size = 1 + rng() % most;
      splitter.append(std::string_view(stream).substr(at, size));
      at += size;
      if (rng() % 3 == 0) {
        drain(splitter, events);
      } else if (const auto event = splitter.next()) {
        events.emplace_back(*event);
      }
    }
    drain(splitter, events);
    EXPECT_EQ(events, expected) << most;
  }
}

TEST(SseSplitter, joins_data_lines_with_a_line_feed) {
  EXPECT_EQ(split("data: a\r\ndata:b\ndata:\ndata: c\n\n"), std::vector<std::string>{"a\nb\n\nc"});
}

TEST(SseSplitter, takes_one_space_behind_the_colon_and_no_more) {
  EXPECT_EQ(split("data:   x \n\n"), std::vector<std::string>{"  x "});
}

TEST(SseSplitter, hands_out_nothing_of_an_event_that_is_not_over) {
  EXPECT_TRUE(split("data: a\n").empty());
  SseSplitter splitter(100);
  splitter.append("data: a\n");
  EXPECT_EQ(splitter.next(), std::nullopt);
  EXPECT_EQ(splitter.pending(), 8U);
}

TEST(SseSplitter, has_nothing_pending_between_events) {
  SseSplitter splitter(100);
  splitter.append("data: a\n\n");
  EXPECT_TRUE(splitter.next().has_value());
  EXPECT_EQ(splitter.next(), std::nullopt);
  EXPECT_EQ(splitter.pending(), 0U);
}

TEST(SseSplitter, an_event_past_the_limit_ends_it) {
  for (const std::string& event :
       {"data: " + std::string(200, 'x') + "\n\n", "data: " + std::string(200, 'x'), ": " + std::string(200, 'x')}) {
    SseSplitter splitter(100);
    splitter.append("data: ok\n\n" + event);
    EXPECT_EQ(splitter.next(), "ok");
    EXPECT_EQ(splitter.next(), std::nullopt);
    EXPECT_TRUE(splitter.oversize());
    splitter.append("data: more\n\n");
    EXPECT_EQ(splitter.next(), std::nullopt);
  }
}

TEST(SseSplitter, many_lines_past_the_limit_end_it_too) {
  SseSplitter splitter(100);
  for (int i = 0; i < 50; ++i) {
    splitter.append("data: x\n");
    EXPECT_EQ(splitter.next(), std::nullopt);
  }
  EXPECT_TRUE(splitter.oversize());
}

TEST(SseSplitter, the_limit_is_of_one_event_and_not_of_the_stream) {
  std::string stream;
  for (int i = 0; i < 100; ++i) stream += "data: x\n\n";
  EXPECT_EQ(split(stream, 100).size(), 100U);
}

}  // namespace
}  // namespace turnpike::relay
