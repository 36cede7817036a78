#include "turnpike/receipts/keys.hpp"

#include <sys/stat.h>

#include <filesystem>

#include "receipts_fixture.hpp"
#include "turnpike/identity/signing_key.hpp"

namespace turnpike::receipts {
namespace {

using ReceiptKeys = test::ReceiptsTest;

TEST_F(ReceiptKeys, are_made_at_the_first_start_and_kept_where_nobody_else_reads_them) {
  const auto all = keys->all();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].public_key.size(), 32U);
  EXPECT_FALSE(all[0].until);
  const auto file = folder.file("receipt-" + all[0].id + ".key");
  struct stat about{};
  ASSERT_EQ(::stat(file.c_str(), &about), 0) << file;
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
  start();
  ASSERT_EQ(keys->all().size(), 1U);
  EXPECT_EQ(keys->all()[0].public_key, all[0].public_key);
  EXPECT_EQ(keys->all()[0].from, all[0].from);
}

TEST_F(ReceiptKeys, that_were_rotated_out_sign_what_is_of_their_time_as_they_did_over_restarts_too) {
  const auto then = clock.wall();
  const auto before = keys->sign("text", then).value();
  clock.advance(std::chrono::microseconds(1'234'567));
  const auto fresh = rotate();
  for (int starts = 0; starts < 2; ++starts) {
    const auto all = keys->all();
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].until, all[1].from);
    EXPECT_EQ(all[1].id, fresh.id);
    EXPECT_FALSE(all[1].until);
    EXPECT_EQ(all[1].from.time_since_epoch().count() % 1000, 0) << "whole milliseconds, as receipts have them";
    const auto again = keys->sign("text", then).value();
    EXPECT_EQ(again.key_id, before.key_id);
    EXPECT_EQ(again.bytes, before.bytes);
    EXPECT_EQ(keys->sign("text", all[1].from - std::chrono::microseconds(1)).value().key_id, before.key_id);
    EXPECT_EQ(keys->sign("text", all[1].from).value().key_id, fresh.id);
    EXPECT_EQ(keys->sign("text", then - std::chrono::hours(1)).value().key_id, before.key_id) << "the clock went back";
    start();
  }
}

TEST_F(ReceiptKeys, whose_file_is_gone_give_way_to_another_and_sign_nothing_any_more) {
  const auto lost = keys->all()[0];
  const auto then = clock.wall();
  stop();
  std::filesystem::remove(folder.file("receipt-" + lost.id + ".key"));
  clock.advance(std::chrono::seconds(5));
  start();
  const auto all = keys->all();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].public_key, lost.public_key) << "what it signed can be checked";
  EXPECT_NE(all[1].id, lost.id);
  EXPECT_EQ(keys->sign("text", then).error().fault, Fault::service_unavailable);
  EXPECT_EQ(keys->sign("text", clock.wall()).value().key_id, all[1].id);
}

TEST_F(ReceiptKeys, that_others_may_read_are_refused) {
  const auto file = folder.file("receipt-" + keys->all()[0].id + ".key");
  stop();
  std::filesystem::permissions(file, std::filesystem::perms(0644));
  database = storage::open_sqlite(loop.executor(), {.file = folder.file("turnpike.db")}).value();
  const auto opened = Keys::open(*database, clock, folder.file(""));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("chmod 600"), std::string::npos) << opened.error().message;
  EXPECT_NE(opened.error().message.find("the key for receipts"), std::string::npos) << opened.error().message;
}

TEST_F(ReceiptKeys, that_a_crash_left_without_a_name_are_used) {
  const auto made = identity::SigningKey::open(folder.file("receipt-new.key"), "a test's").value();
  EXPECT_EQ(rotate().public_key, made.public_key());
  EXPECT_FALSE(std::filesystem::exists(folder.file("receipt-new.key")));
}

}  // namespace
}  // namespace turnpike::receipts
