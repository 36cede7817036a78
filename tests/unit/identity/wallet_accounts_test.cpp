#include "turnpike/identity/wallet_accounts.hpp"

#include <gtest/gtest.h>

#include "common/loop.hpp"
#include "common/temp_folder.hpp"
#include "turnpike/identity/key_ring.hpp"
#include "turnpike/storage/sqlite.hpp"

namespace turnpike::identity {
namespace {

const Wallet kEthereum{.chain = ChainNamespace::eip155, .address = "0x52908400098527886E0F7030069857D2E4169EE7"};
const Wallet kSolana{.chain = ChainNamespace::solana, .address = "GwAF45zjfyGzUbd3i3hXxzGeuchzEZXwpRYHZM5912F1"};

class WalletAccountsTest : public testing::Test {
 protected:
  void SetUp() override { start(); }
  void start() {
    accounts = nullptr;
    ring = nullptr;
    database = nullptr;
    auto opened = storage::open_sqlite(
        loop.executor(), {.file = folder.file("turnpike.db"), .allow_commit = [this] { return commits_succeed; }});
    ASSERT_TRUE(opened) << opened.error().message;
    database = std::move(*opened);
    ring = KeyRing::open(*database, clock, {.max_keys = 100, .max_per_account = 100}).value();
    auto loaded = WalletAccounts::open(*database, clock);
    ASSERT_TRUE(loaded) << loaded.error().message;
    accounts = std::move(*loaded);
  }
  // A write that is waited for, after all the others.
  bool write_a_key() { return loop.run(ring->create({.account_id = 7, .prefix = "dkn_live_"})).has_value(); }

  turnpike::test::TempFolder folder;
  turnpike::test::Loop loop;
  HeldClock clock;
  bool commits_succeed = true;
  std::unique_ptr<storage::Database> database;
  std::unique_ptr<KeyRing> ring;
  std::unique_ptr<WalletAccounts> accounts;
};

TEST_F(WalletAccountsTest, a_wallet_has_its_account_before_and_after_a_restart) {
  EXPECT_EQ(accounts->find(kEthereum), std::nullopt);
  EXPECT_TRUE(accounts->tie(kEthereum, 7));
  EXPECT_TRUE(accounts->tie(kSolana, 8));
  EXPECT_TRUE(write_a_key());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(accounts->find(kEthereum), 7);
    EXPECT_EQ(accounts->find(kSolana), 8);
    EXPECT_EQ(accounts->size(), 2U);
    start();
  }
}

TEST_F(WalletAccountsTest, a_wallet_never_changes_its_account) {
  EXPECT_TRUE(accounts->tie(kEthereum, 7));
  EXPECT_EQ(accounts->tie(kEthereum, 8).error().fault, Fault::conflict);
  EXPECT_EQ(accounts->find(kEthereum), 7);
}

TEST_F(WalletAccountsTest, a_wallet_that_cannot_be_written_gets_no_key) {
  commits_succeed = false;
  EXPECT_TRUE(accounts->tie(kEthereum, 7));
  EXPECT_FALSE(write_a_key());
  EXPECT_EQ(accounts->tie(kSolana, 8).error().fault, Fault::service_unavailable);
}

}  // namespace
}  // namespace turnpike::identity
