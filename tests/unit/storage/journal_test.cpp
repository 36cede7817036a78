#include "../../../src/storage/journal.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/temp_folder.hpp"

namespace turnpike::storage {
namespace {

constexpr std::size_t kSegmentBytes = 512;

class JournalTest : public testing::Test {
 protected:
  std::vector<std::string> records() {
    std::vector<std::string> found;
    Journal(path, kSegmentBytes).read([&](std::string_view record) { found.emplace_back(record); });
    return found;
  }
  turnpike::test::TempFolder folder;
  std::string path = folder.file("journal");
};

TEST_F(JournalTest, what_was_appended_is_read_by_the_next_run_oldest_first) {
  {
    Journal journal(path, kSegmentBytes);
    EXPECT_EQ(journal.append("one"), 1U);
    EXPECT_EQ(journal.append(""), 2U);
    EXPECT_EQ(journal.append(std::string("th\0ree", 6)), 3U);
  }
  EXPECT_EQ(records(), (std::vector<std::string>{"one", "", std::string("th\0ree", 6)}));
}

TEST_F(JournalTest, its_files_are_nobody_elses) {
  Journal journal(path, kSegmentBytes);
  struct stat facts{};
  ASSERT_EQ(::stat((path + "-0").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
}

TEST_F(JournalTest, a_record_that_was_cut_short_is_left_out_and_those_before_it_are_not) {
  {
    Journal journal(path, kSegmentBytes);
    for (const auto* record : {"first", "second", "third"}) ASSERT_NE(journal.append(record), 0U);
  }
  constexpr std::size_t kEnd = 3 * 16 + 5 + 6 + 5;
  for (std::size_t cut = 1; cut <= 16 + 5; ++cut) {
    std::filesystem::resize_file(path + "-0", kEnd - cut);
    EXPECT_EQ(records(), (std::vector<std::string>{"first", "second"})) << cut << " bytes are missing";
  }
}

TEST_F(JournalTest, a_record_with_a_changed_byte_ends_what_is_read) {
  {
    Journal journal(path, kSegmentBytes);
    for (const auto* record : {"first", "second", "third"}) ASSERT_NE(journal.append(record), 0U);
  }
  const auto second_at = 16 + 5;
  for (int byte = second_at; byte < second_at + 16 + 6; ++byte) {
    std::fstream file(path + "-0", std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(byte);
    const int was = file.get();
    file.seekp(byte);
    file.put(static_cast<char>(was ^ 1));
    file.flush();
    EXPECT_EQ(records(), (std::vector<std::string>{"first"})) << "byte " << byte;
    file.seekp(byte);
    file.put(static_cast<char>(was));
  }
}

TEST_F(JournalTest, space_is_used_again_once_its_changes_are_committed_and_older_records_do_not_come_back) {
  std::vector<std::string> last;
  {
    Journal journal(path, kSegmentBytes);
    for (int i = 0; i < 1000; ++i) {
      // Of changing length, so that what is left behind the newest record begins anywhere.
      const auto record = std::to_string(i) + std::string(static_cast<std::size_t>(i % 40), 'x');
      const auto number = journal.append(record);
      ASSERT_EQ(number, static_cast<std::uint64_t>(i + 1));
      journal.committed(number);
      last.push_back(record);
    }
  }
  EXPECT_LE(std::filesystem::file_size(path + "-0"), kSegmentBytes);
  EXPECT_LE(std::filesystem::file_size(path + "-1"), kSegmentBytes);
  const auto found = records();
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found, std::vector<std::string>(last.end() - static_cast<std::ptrdiff_t>(found.size()), last.end()));
}

TEST_F(JournalTest, nothing_that_is_not_committed_is_overwritten) {
  std::vector<std::string> all;
  {
    Journal journal(path, kSegmentBytes);
    for (int i = 0; i < 200; ++i) {
      all.push_back("record " + std::to_string(i));
      ASSERT_NE(journal.append(all.back()), 0U);
    }
  }
  EXPECT_EQ(records(), all);
}

TEST_F(JournalTest, numbers_go_on_over_runs_so_that_a_run_never_takes_up_the_records_of_another) {
  for (int run = 0; run < 20; ++run) {
    Journal journal(path, kSegmentBytes);
    std::vector<std::string> found;
    journal.read([&](std::string_view record) { found.emplace_back(record); });
    if (run > 0) {
      // The first run's records are longer than the later ones', which overwrite only their beginning.
      ASSERT_FALSE(found.empty());
      EXPECT_EQ(found.back(), "run " + std::to_string(run - 1));
    }
    const auto number = journal.append("run " + std::to_string(run) + (run == 0 ? " and a long tail" : ""));
    if (run == 0) {
      ASSERT_NE(journal.append("run 0"), 0U);
    } else {
      ASSERT_EQ(number, static_cast<std::uint64_t>(run) + 2);
    }
  }
}

TEST_F(JournalTest, records_of_any_size_are_kept_wherever_in_the_file_they_come_to_lie) {
  std::vector<std::string> all;
  {
    Journal journal(path, std::size_t{1} << 20U);
    for (std::size_t i = 0; i < 60; ++i) {
      // Up to more than the journal has of its file in memory at once.
      all.emplace_back(i * i * 20, static_cast<char>('a' + i % 26));
      ASSERT_EQ(journal.append(all.back()), i + 1);
    }
  }
  EXPECT_EQ(records(), all);
}

TEST_F(JournalTest, the_space_that_was_set_aside_is_there_on_a_disk_that_has_no_more) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  Journal journal(path, kSegmentBytes);
  rlimit small = before;
  small.rlim_cur = kSegmentBytes;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  // Nothing is committed, so that both files are filled, and the second would have to grow.
  std::vector<std::string> kept;
  while (journal.append("record " + std::to_string(kept.size())) != 0) {
    kept.push_back("record " + std::to_string(kept.size()));
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  // What is written must stay a prefix: no record after one that was refused, though there is room again.
  EXPECT_EQ(journal.append("fits too"), 0U);
  EXPECT_GT(kept.size(), 2 * kSegmentBytes / 40);
  EXPECT_EQ(records(), kept);
}

TEST_F(JournalTest, a_cleared_journal_is_empty) {
  {
    Journal journal(path, kSegmentBytes);
    ASSERT_NE(journal.append("gone"), 0U);
    journal.clear();
    EXPECT_EQ(std::filesystem::file_size(path + "-0"), 0U);
  }
  EXPECT_TRUE(records().empty());
}

TEST_F(JournalTest, a_journal_goes_on_after_it_was_cleared) {
  {
    Journal journal(path, kSegmentBytes);
    ASSERT_NE(journal.append("gone"), 0U);
    journal.clear();
    ASSERT_NE(journal.append("kept"), 0U);
  }
  EXPECT_EQ(records(), (std::vector<std::string>{"kept"}));
}

}  // namespace
}  // namespace turnpike::storage
