#include "turnpike/webhooks/target.hpp"

#include <gtest/gtest.h>

#include <string>

namespace turnpike::webhooks {
namespace {

bool is_public_text(const char* address) {
  return is_public(boost::asio::ip::make_address(address));
}

TEST(Target, addresses_of_the_public_internet_may_be_called) {
  for (const char* address :
       {"1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
        "192.0.1.1", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700:4700::1111",
        "2a00:1450:4001:800::200e", "2001:4860:4860::8888", "64:ff9b::8.8.8.8"}) {
    EXPECT_TRUE(is_public_text(address)) << address;
  }
}

TEST(Target, no_other_address_may_be_called) {
  for (const char* address : {"0.0.0.0",
                              "0.1.2.3",
                              "10.0.0.1",
                              "100.64.0.1",
                              "100.127.255.255",
                              "127.0.0.1",
                              "127.255.255.254",
                              "169.254.169.254",
                              "172.16.0.1",
                              "172.31.255.255",
                              "192.0.0.8",
                              "192.0.2.1",
                              "192.88.99.1",
                              "192.168.1.1",
                              "198.18.0.1",
                              "198.19.255.255",
                              "198.51.100.7",
                              "203.0.113.9",
                              "224.0.0.1",
                              "239.255.255.255",
                              "240.0.0.1",
                              "255.255.255.255",
                              "::",
                              "::1",
                              "::ffff:127.0.0.1",
                              "::ffff:10.0.0.1",
                              "::ffff:8.8.8.8",
                              "::127.0.0.1",
                              "64:ff9b::7f00:1",
                              "64:ff9b::10.0.0.1",
                              "64:ff9b:1::8.8.8.8",
                              "100::1",
                              "2001::1",
                              "2001:2::1",
                              "2001:10::1",
                              "2001:db8::1",
                              "2002:7f00:1::",
                              "2002:808:808::1",
                              "3fff::1",
                              "5f00::1",
                              "fc00::1",
                              "fd12:3456::1",
                              "fe80::1",
                              "fe80::1%1",
                              "fec0::1",
                              "ff02::1",
                              "ff0e::1"}) {
    EXPECT_FALSE(is_public_text(address)) << address;
  }
}

TEST(Target, a_usual_url_leads_to_its_place) {
  const auto plain = read_target("http://hooks.example/in?a=b", 2048, false).value();
  EXPECT_FALSE(plain.secure);
  EXPECT_EQ(plain.host, "hooks.example");
  EXPECT_EQ(plain.port, 80);
  EXPECT_EQ(plain.authority, "hooks.example");
  EXPECT_EQ(plain.target, "/in?a=b");
  const auto secure = read_target("https://[2606:4700:4700::1111]:8443", 2048, false).value();
  EXPECT_TRUE(secure.secure);
  EXPECT_EQ(secure.host, "2606:4700:4700::1111");
  EXPECT_EQ(secure.port, 8443);
  EXPECT_EQ(secure.authority, "[2606:4700:4700::1111]:8443");
  EXPECT_EQ(read_target("https://hooks.example", 2048, false)->port, 443);
}

TEST(Target, what_is_no_url_to_call_is_refused_and_names_the_member) {
  for (const char* url :
       {"", "hooks.example", "/in", "ftp://hooks.example/", "file:///etc/passwd", "gopher://hooks.example/", "http://",
        "http:///in", "https://user@hooks.example/", "https://user:secret@hooks.example/",
        "http://hooks.example@127.0.0.1/", "http://hooks.example:0/", "http://hooks.example:70000/",
        "http://hooks example/", "http://hooks.example/\r\nX: y", "http://127.0.0.1/", "http://127.0.0.1:8080/in",
        "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://10.1.2.3/", "http://169.254.169.254/latest/meta-data/",
        // 127.0.0.1, as resolvers and browsers read it too.
        "http://2130706433/", "http://017700000001/", "http://0x7f000001/", "http://0x7f.1/", "http://127.1/",
        "http://0177.0.0.1/", "http://127.0.0.1./", "http://0x7f.0x0.0x0.0x1/", "http://%31%32%37.0.0.1/"}) {
    const auto target = read_target(url, 2048, false);
    ASSERT_FALSE(target) << url;
    EXPECT_EQ(target.error().fault, Fault::invalid_request);
    EXPECT_EQ(target.error().param, "url");
  }
  EXPECT_FALSE(read_target("http://hooks.example/" + std::string(100, 'a'), 100, false));
}

TEST(Target, names_with_digits_are_names) {
  for (const char* url : {"http://1password.example/", "http://hooks.3com/", "http://0x7f.example/"}) {
    EXPECT_TRUE(read_target(url, 2048, false)) << url;
  }
}

TEST(Target, private_addresses_are_for_those_who_allow_them) {
  EXPECT_TRUE(read_target("http://127.0.0.1:9/in", 2048, true));
  EXPECT_TRUE(read_target("http://[::1]/", 2048, true));
  EXPECT_FALSE(read_target("http://user@127.0.0.1/", 2048, true));
  EXPECT_FALSE(read_target("http://2130706433/", 2048, true));
}

}  // namespace
}  // namespace turnpike::webhooks
