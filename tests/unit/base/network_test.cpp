#include "turnpike/base/network.hpp"

#include <gtest/gtest.h>

#include <string_view>

namespace turnpike {
namespace {

TEST(Network, holds_the_addresses_of_its_prefix) {
  const auto v4 = Network::parse("10.1.0.0/16").value();
  EXPECT_TRUE(v4.contains("10.1.255.255"));
  EXPECT_TRUE(v4.contains("::ffff:10.1.2.3"));
  EXPECT_FALSE(v4.contains("10.2.0.0"));
  EXPECT_FALSE(v4.contains("::10.1.2.3"));
  const auto v6 = Network::parse("2001:db8:8000::/33").value();
  EXPECT_TRUE(v6.contains("2001:db8:ffff::1"));
  EXPECT_FALSE(v6.contains("2001:db8:7fff::1"));
  const auto one = Network::parse("192.0.2.1").value();
  EXPECT_TRUE(one.contains("192.0.2.1"));
  EXPECT_FALSE(one.contains("192.0.2.2"));
  EXPECT_TRUE(Network::parse("0.0.0.0/0").value().contains("192.0.2.1"));
  EXPECT_FALSE(Network::parse("0.0.0.0/0").value().contains("2001:db8::1"));
}

TEST(Network, is_refused_where_it_is_none) {
  for (const std::string_view text : {"", "10.0.0.0/33", "::/129", "10.0.0.1/24", "10.0.0.0/", "10.0.0.0/x", "10.0.0/8",
                                      "example.com", "10.0.0.0/-1", "10.0.0.0/8/8", "/8"}) {
    EXPECT_FALSE(Network::parse(text)) << text;
  }
}

}  // namespace
}  // namespace turnpike
