#include "turnpike/webhooks/signature.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "../../../src/webhooks/secret_box.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::webhooks {
namespace {

TEST(WebhookSignature, is_the_one_of_the_specifications_example) {
  const auto secret = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  ASSERT_TRUE(secret);
  EXPECT_EQ(sign(*secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1'614'265'330, R"({"test": 2432232314})"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(WebhookSignature, covers_id_time_and_body) {
  const std::string secret(32, 's');
  std::set<std::string> signatures{sign(secret, "evt_1", 1, "{}"), sign(secret, "evt_2", 1, "{}"),
                                   sign(secret, "evt_1", 2, "{}"), sign(secret, "evt_1", 1, "[]"),
                                   sign(std::string(32, 't'), "evt_1", 1, "{}")};
  EXPECT_EQ(signatures.size(), 5U);
}

TEST(WebhookSecrets, are_read_as_they_are_written) {
  const auto made = make_secret();
  EXPECT_EQ(made.size(), 32U);
  EXPECT_NE(made, make_secret());
  EXPECT_EQ(read_secret(secret_text(made)), made);
  const auto text = [](std::size_t bytes) { return "whsec_" + to_base64(std::string(bytes, 'x')); };
  EXPECT_TRUE(read_secret(text(24)));
  EXPECT_TRUE(read_secret(text(64)));
  for (const auto& bad : {text(23), text(65), to_base64(std::string(32, 'x')), std::string("whsec_"),
                          std::string("whsec_not base64"), std::string("")}) {
    EXPECT_FALSE(read_secret(bad)) << bad;
  }
}

class SecretBoxTest : public testing::Test {
 protected:
  SecretBox open() { return SecretBox::open(folder.file("webhooks.key")).value(); }
  turnpike::test::TempFolder folder;
};

TEST_F(SecretBoxTest, opens_what_it_sealed_after_a_restart_too) {
  const auto sealed = open().seal("a secret", "wh_1");
  EXPECT_EQ(sealed.find("a secret"), std::string::npos);
  EXPECT_EQ(open().unseal(sealed, "wh_1"), "a secret");
  EXPECT_NE(open().seal("a secret", "wh_1"), sealed) << "no two are alike";
}

TEST_F(SecretBoxTest, opens_nothing_else) {
  const auto box = open();
  const auto sealed = box.seal("a secret", "wh_1");
  EXPECT_EQ(box.unseal(sealed, "wh_2"), std::nullopt);
  EXPECT_EQ(box.unseal("", "wh_1"), std::nullopt);
  EXPECT_EQ(box.unseal(sealed.substr(1), "wh_1"), std::nullopt);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_EQ(box.unseal(changed, "wh_1"), std::nullopt) << i;
  }
  const auto other = SecretBox::open(folder.file("other.key")).value();
  EXPECT_EQ(other.unseal(sealed, "wh_1"), std::nullopt);
}

TEST_F(SecretBoxTest, takes_no_key_that_others_may_read_or_that_is_none) {
  open();
  std::filesystem::permissions(folder.file("webhooks.key"), std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  const auto opened = SecretBox::open(folder.file("webhooks.key"));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("chmod 600"), std::string::npos);
  std::filesystem::remove(folder.file("webhooks.key"));
  std::filesystem::create_directory(folder.file("webhooks.key"));
  EXPECT_FALSE(SecretBox::open(folder.file("webhooks.key")));
}

}  // namespace
}  // namespace turnpike::webhooks
