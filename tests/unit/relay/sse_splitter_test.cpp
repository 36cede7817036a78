#include "turnpike/relay/sse_splitter.hpp"

#include <gtest/gtest.h>

#include <optional>
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

// A stream as it comes, of which only what the splitter has not taken is kept.
class Incoming {
 public:
  explicit Incoming(std::size_t max_event_bytes) : splitter(max_event_bytes) {}
  void append(std::string_view bytes) {
    kept_.erase(0, splitter.drop());
    kept_.append(bytes);
  }
  std::optional<std::string_view> next() { return splitter.next(kept_); }
  [[nodiscard]] std::string_view kept() const { return kept_; }
  SseSplitter splitter;

 private:
  std::string kept_;
};

void drain(Incoming& incoming, std::vector<std::string>& events) {
  while (const auto event = incoming.next()) events.emplace_back(*event);
}

std::vector<std::string> split(std::string_view stream, std::size_t max_event_bytes = 1024) {
  Incoming incoming(max_event_bytes);
  std::vector<std::string> events;
  incoming.append(stream);
  drain(incoming, events);
  return events;
}

TEST(SseSplitter, hands_out_the_data_of_each_event) {
  EXPECT_EQ(split(kStream), kEvents);
}

TEST(SseSplitter, it_does_not_matter_where_the_stream_is_cut) {
  for (std::size_t cut = 0; cut <= kStream.size(); ++cut) {
    Incoming incoming(1024);
    std::vector<std::string> events;
    incoming.append(kStream.substr(0, cut));
    drain(incoming, events);
    incoming.append(kStream.substr(cut));
    drain(incoming, events);
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
    Incoming incoming(1024);
    std::vector<std::string> events;
    for (std::size_t at = 0; at < stream.size();) {
      const auto size = 1 + rng() % most;
      incoming.append(std::string_view(stream).substr(at, size));
      at += size;
      if (rng() % 3 == 0) {
        drain(incoming, events);
      } else if (const auto event = incoming.next()) {
        events.emplace_back(*event);
      }
    }
    drain(incoming, events);
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
  Incoming incoming(100);
  incoming.append("data: a\n");
  EXPECT_EQ(incoming.next(), std::nullopt);
  EXPECT_EQ(incoming.splitter.between_events(), std::nullopt);
  incoming.append("");
  EXPECT_EQ(incoming.kept(), "data: a\n");
}

TEST(SseSplitter, knows_when_it_is_between_events) {
  Incoming incoming(100);
  EXPECT_EQ(incoming.splitter.between_events(), 0U);
  incoming.append("data: a\n\ndata: b\n\n");
  EXPECT_EQ(incoming.next(), "a");
  EXPECT_EQ(incoming.splitter.between_events(), 9U);
  EXPECT_EQ(incoming.next(), "b");
  EXPECT_EQ(incoming.next(), std::nullopt);
  EXPECT_EQ(incoming.splitter.between_events(), 18U);
  incoming.append("d");
  EXPECT_EQ(incoming.kept(), "d");
  EXPECT_EQ(incoming.next(), std::nullopt);
  EXPECT_EQ(incoming.splitter.between_events(), std::nullopt);
}

TEST(SseSplitter, goes_on_behind_events_that_it_was_told_to_skip) {
  Incoming incoming(100);
  incoming.append("data: a\n\ndata: b\n\ndata: c\n\nda");
  EXPECT_EQ(incoming.next(), "a");
  incoming.splitter.skip(9);
  EXPECT_EQ(incoming.next(), "c");
  EXPECT_EQ(incoming.next(), std::nullopt);
  incoming.append("ta: d\n\n");
  EXPECT_EQ(incoming.next(), "d");
}

TEST(SseSplitter, an_event_past_the_limit_ends_it) {
  for (const std::string& event :
       {"data: " + std::string(200, 'x') + "\n\n", "data: " + std::string(200, 'x'), ": " + std::string(200, 'x')}) {
    Incoming incoming(100);
    incoming.append("data: ok\n\n" + event);
    EXPECT_EQ(incoming.next(), "ok");
    EXPECT_EQ(incoming.next(), std::nullopt);
    EXPECT_TRUE(incoming.splitter.oversize());
    incoming.append("data: more\n\n");
    EXPECT_EQ(incoming.next(), std::nullopt);
  }
}

TEST(SseSplitter, many_lines_past_the_limit_end_it_too) {
  Incoming incoming(100);
  for (int i = 0; i < 50; ++i) {
    incoming.append("data: x\n");
    EXPECT_EQ(incoming.next(), std::nullopt);
  }
  EXPECT_TRUE(incoming.splitter.oversize());
}

TEST(SseSplitter, the_limit_is_of_one_event_and_not_of_the_stream) {
  std::string stream;
  for (int i = 0; i < 100; ++i) stream += "data: x\n\n";
  EXPECT_EQ(split(stream, 100).size(), 100U);
}

}  // namespace
}  // namespace turnpike::relay
