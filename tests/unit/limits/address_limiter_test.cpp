#include "turnpike/limits/address_limiter.hpp"

#include <gtest/gtest.h>

namespace turnpike::limits {
namespace {

using namespace std::chrono_literals;

TEST(AddressLimiter, an_address_gets_its_requests_a_minute_and_no_more) {
  HeldClock clock;
  AddressLimiter limiter(3, 10);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limiter.admit("192.0.2.1", clock.now()).allowed);
  const auto refused = limiter.admit("192.0.2.1", clock.now());
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.wait, 20s);
  EXPECT_TRUE(limiter.admit("192.0.2.2", clock.now()).allowed);
  clock.advance(refused.wait);
  EXPECT_TRUE(limiter.admit("192.0.2.1", clock.now()).allowed);
}

TEST(AddressLimiter, a_client_is_an_ipv4_address_or_a_64_of_ipv6) {
  EXPECT_NE(client_of("192.0.2.1"), client_of("192.0.2.2"));
  EXPECT_EQ(client_of("::ffff:192.0.2.1"), client_of("192.0.2.1"));
  EXPECT_EQ(client_of("2001:db8:1:2::1"), client_of("2001:db8:1:2:ffff::9"));
  EXPECT_NE(client_of("2001:db8:1:2::1"), client_of("2001:db8:1:3::1"));
  EXPECT_EQ(client_of("fe80::1%eth0"), client_of("fe80::1"));
  EXPECT_EQ(client_of("not an address"), "not an address");
}

TEST(AddressLimiter, a_full_table_forgets_clients_whose_bucket_is_full_and_refuses_strangers_until_there_is_one) {
  HeldClock clock;
  AddressLimiter limiter(60, 2);
  EXPECT_TRUE(limiter.admit("192.0.2.1", clock.now()).allowed);
  EXPECT_TRUE(limiter.admit("192.0.2.2", clock.now()).allowed);
  const auto refused = limiter.admit("192.0.2.3", clock.now());
  EXPECT_FALSE(refused.allowed);
  EXPECT_GT(refused.wait, 0ms);
  EXPECT_TRUE(limiter.admit("192.0.2.1", clock.now()).allowed) << "who is known is served";
  clock.advance(refused.wait);
  EXPECT_TRUE(limiter.admit("192.0.2.3", clock.now()).allowed);
  EXPECT_EQ(limiter.clients(), 2U);
}

}  // namespace
}  // namespace turnpike::limits
