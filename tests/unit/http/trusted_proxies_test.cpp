#include "turnpike/http/trusted_proxies.hpp"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace turnpike::http {
namespace {

class Proxies : public testing::Test {
 protected:
  std::string client(std::string_view peer, const std::vector<std::string_view>& forwarded) {
    Fields fields;
    for (const auto value : forwarded) fields.add({Field::unknown, "X-Forwarded-For", value});
    return proxies.client(peer, fields);
  }
  TrustedProxies proxies{{*Network::parse("10.0.0.0/8"), *Network::parse("2001:db8::/32")}};
};

TEST_F(Proxies, a_stranger_is_the_client_whatever_it_says) {
  EXPECT_EQ(client("192.0.2.1", {"198.51.100.1"}), "192.0.2.1");
}

TEST_F(Proxies, a_trusted_one_is_believed) {
  EXPECT_EQ(client("10.0.0.1", {"198.51.100.1"}), "198.51.100.1");
  EXPECT_EQ(client("2001:db8::1", {"198.51.100.1:4711"}), "198.51.100.1");
  EXPECT_EQ(client("10.0.0.1", {"[2001:4860::8]:4711"}), "2001:4860::8");
  EXPECT_EQ(client("10.0.0.1", {"2001:4860::8"}), "2001:4860::8");
}

TEST_F(Proxies, what_stands_before_the_first_stranger_is_not_looked_at) {
  EXPECT_EQ(client("10.0.0.1", {"203.0.113.9, 198.51.100.1 , 10.0.0.2"}), "198.51.100.1");
  EXPECT_EQ(client("10.0.0.1", {"203.0.113.9, 198.51.100.1", "10.0.0.3,10.0.0.2"}), "198.51.100.1");
  EXPECT_EQ(client("10.0.0.1", {"10.0.0.9", "198.51.100.1"}), "198.51.100.1");
}

TEST_F(Proxies, where_all_are_trusted_the_farthest_is_the_client) {
  EXPECT_EQ(client("10.0.0.1", {"10.0.0.3, 10.0.0.2"}), "10.0.0.3");
  EXPECT_EQ(client("10.0.0.1", {}), "10.0.0.1");
}

TEST_F(Proxies, what_is_no_address_ends_the_search) {
  for (const std::string_view text :
       {"unknown", "", " ", "198.51.100.1, unknown", "198.51.100.1,", "[198.51.100.1", "198.51.100.1.2", "_hidden"}) {
    EXPECT_EQ(client("10.0.0.1", {text}), "10.0.0.1") << text;
  }
}

}  // namespace
}  // namespace turnpike::http
