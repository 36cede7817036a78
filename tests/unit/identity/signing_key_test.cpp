#include "turnpike/identity/signing_key.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "common/temp_folder.hpp"
#include "turnpike/base/encoding.hpp"

namespace turnpike::identity {
namespace {

namespace fs = std::filesystem;

class SigningKeyTest : public testing::Test {
 protected:
  std::string read() const {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  }
  void write(const std::string& text) const {
    std::ofstream(file) << text;
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
  }
  // Why the file cannot be used.
  std::string fault() const {
    const auto key = SigningKey::open(file);
    return key ? "" : key.error().message;
  }
  turnpike::test::TempFolder folder;
  std::string file = folder.file("token.key");
};

TEST_F(SigningKeyTest, is_made_once_and_is_nobody_elses) {
  const std::string first = SigningKey::open(file)->public_key();
  EXPECT_EQ(fs::status(file).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(SigningKey::open(file)->public_key(), first);
  EXPECT_FALSE(fs::exists(file + ".part"));
  EXPECT_NE(SigningKey::open(folder.file("other.key"))->public_key(), first);
}

TEST_F(SigningKeyTest, is_read_as_openssl_writes_it) {
  // RFC 8410, section 10.3; the public key is that of section 10.1.
  write(
      "-----BEGIN PRIVATE KEY-----\n"
      "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
      "-----END PRIVATE KEY-----\n");
  EXPECT_EQ(to_base64url(SigningKey::open(file)->public_key()), "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE");
}

TEST_F(SigningKeyTest, signs_as_rfc_8037_does) {
  // RFC 8037, appendix A: the key of A.1 and the signature of A.4.
  const std::string seed = from_base64url("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").value();
  const std::string head("\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", 16);
  write("-----BEGIN PRIVATE KEY-----\n" + to_base64(head + seed) + "\n-----END PRIVATE KEY-----\n");
  const SigningKey key = SigningKey::open(file).value();
  EXPECT_EQ(to_base64url(key.public_key()), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
  const std::string input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
  const std::string signature = key.sign(input);
  EXPECT_EQ(to_base64url(signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
  EXPECT_TRUE(key.verifies(input, signature));
  EXPECT_FALSE(key.verifies(input + "x", signature));
  EXPECT_FALSE(key.verifies(input, signature.substr(1)));
  EXPECT_FALSE(key.verifies(input, ""));
}

TEST_F(SigningKeyTest, a_file_that_others_may_read_is_refused) {
  ASSERT_TRUE(SigningKey::open(file));
  fs::permissions(file, fs::perms::group_read, fs::perm_options::add);
  EXPECT_NE(fault().find("chmod 600"), std::string::npos);
}

TEST_F(SigningKeyTest, a_file_that_holds_something_else_is_refused_and_left_alone) {
  ASSERT_TRUE(SigningKey::open(file));
  const std::string whole = read();
  for (const std::string& text : {std::string(), std::string("key"), whole.substr(1), whole.substr(0, whole.size() - 1),
                                  whole + "\n", std::string(whole).replace(30, 1, "N")}) {
    write(text);
    EXPECT_NE(fault().find("is no Ed25519 key"), std::string::npos) << text.size();
    EXPECT_EQ(read(), text);
  }
  write(whole);
  EXPECT_EQ(fault(), "");
}

TEST_F(SigningKeyTest, a_folder_that_cannot_be_written_is_told) {
  EXPECT_NE(SigningKey::open(folder.file("none/token.key")).error().message.find("cannot be written"),
            std::string::npos);
  fs::create_directory(file);
  EXPECT_NE(fault().find("is not a file"), std::string::npos);
}

}  // namespace
}  // namespace turnpike::identity
