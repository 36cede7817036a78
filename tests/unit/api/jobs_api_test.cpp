#include "turnpike/api/jobs_api.hpp"

#include <algorithm>
#include <functional>
#include <random>

#include "api_fixture.hpp"

namespace turnpike::api {
namespace {

using boost::asio::awaitable;
using nlohmann::json;

WallTime at_second(int second) {
  return WallTime(std::chrono::seconds(1'700'000'000 + second));
}

// Some jobs, newest first, their cursors their places from the end.
class Fixed final : public JobSource {
 public:
  explicit Fixed(std::vector<JobView> all) : jobs(std::move(all)) {
    std::ranges::sort(jobs, std::ranges::greater(), &JobView::at);
    for (std::size_t i = 0; i < jobs.size(); ++i) jobs[i].cursor = static_cast<std::int64_t>(jobs.size() - i);
  }
  awaitable<Result<std::optional<JobView>>> find(ledger::AccountId /*account*/, std::string id) override {
    const auto found = std::ranges::find(jobs, id, &JobView::id);
    co_return found == jobs.end() ? std::nullopt : std::optional(*found);
  }
  awaitable<Result<JobViews>> list(ledger::AccountId /*account*/, JobQuery query, int limit,
                                   std::optional<std::int64_t> before) override {
    asked = query;
    JobViews page;
    int looked_at = 0;
    for (const auto& job : jobs) {
      if (before && job.cursor >= *before) continue;
      if (page.jobs.size() == static_cast<std::size_t>(limit) || looked_at == patience) {
        page.next_cursor = last;
        if (looked_at == patience) page.reached = reached;
        break;
      }
      ++looked_at;
      last = job.cursor;
      reached = job.at();
      if (query.model.empty() || job.model == query.model) page.jobs.push_back(job);
    }
    co_return page;
  }

  std::vector<JobView> jobs;
  int patience = 1'000;  // looks at so many for a page
  JobQuery asked;

 private:
  std::int64_t last = 0;
  WallTime reached{};
};

class JobsList : public test::ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    signing = receipts::Keys::open(*database, clock, folder.file("")).value();
    key = make_key();
  }
  void TearDown() override {
    signing = nullptr;
    ApiTest::TearDown();
  }
  http::Response ask(std::vector<JobSource*> sources, const std::string& query, const std::string& id = {}) {
    JobsApi api(*guard, *ledger, *signing, std::move(sources));
    http::Request request;
    request.query = query;
    if (!id.empty()) request.parameters = {id};
    const std::string bearer = "Bearer " + key;
    request.fields.add({http::Field::authorization, "Authorization", bearer});
    return id.empty() ? loop.run(api.list(request)) : loop.run(api.show(request));
  }
  // All ids that a list shows, page by page.
  std::vector<std::string> all(const std::vector<JobSource*>& sources, const std::string& query, int limit) {
    std::vector<std::string> ids;
    std::string cursor;
    for (int pages = 0; pages < 500; ++pages) {
      const auto page =
          json_of(ask(sources, query + "limit=" + std::to_string(limit) + (cursor.empty() ? "" : "&cursor=" + cursor)));
      EXPECT_TRUE(page.contains("data")) << page;
      EXPECT_LE(page["data"].size(), static_cast<std::size_t>(limit));
      for (const auto& job : page["data"]) ids.push_back(job["id"]);
      if (page["next_cursor"].is_null()) return ids;
      cursor = page["next_cursor"];
    }
    ADD_FAILURE() << "the pages do not end";
    return ids;
  }

  std::unique_ptr<receipts::Keys> signing;
  std::string key;
};

TEST_F(JobsList, of_many_sources_is_one_list_newest_first_and_each_once_whatever_the_pages) {
  std::mt19937_64 random(77);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::unique_ptr<Fixed>> sources;
    std::vector<JobSource*> pointers;
    std::vector<std::pair<WallTime, std::string>> wanted;
    int number = 0;
    for (int s = 0; s < 3; ++s) {
      std::vector<JobView> jobs;
      for (auto left = random() % 12; left > 0; --left) {
        // No two at once: their order would be nobody's.
        JobView job{.id = "job_" + std::to_string(++number),
                    .model = random() % 3 == 0 ? "m-2" : "m-1",
                    .created_at = at_second(static_cast<int>(random() % 1'000) * 100 + number)};
        if (job.model == "m-2") wanted.emplace_back(job.at(), job.id);
        jobs.push_back(std::move(job));
      }
      sources.push_back(std::make_unique<Fixed>(std::move(jobs)));
      sources.back()->patience = static_cast<int>(random() % 6) + 1;
      pointers.push_back(sources.back().get());
    }
    std::ranges::sort(wanted, std::ranges::greater());
    std::vector<std::string> ids;
    for (const auto& [at, id] : wanted) ids.push_back(id);
    EXPECT_EQ(all(pointers, "model=m-2&", static_cast<int>(random() % 5) + 1), ids) << "round " << round;
  }
}

TEST_F(JobsList, shows_a_job_that_two_sources_know_as_the_first_one_does) {
  Fixed first({{.id = "job_1", .status = JobStatus::processing, .model = "m-1", .created_at = at_second(1)}});
  Fixed second({{.id = "job_1", .status = JobStatus::settled, .model = "m-1", .created_at = at_second(1)}});
  const auto page = json_of(ask({&first, &second}, ""));
  ASSERT_EQ(page["data"].size(), 1U);
  EXPECT_EQ(page["data"][0]["status"], "processing");
  EXPECT_EQ(json_of(ask({&first, &second}, "", "job_1"))["status"], "processing");
}

TEST_F(JobsList, hands_the_filters_on_and_refuses_what_they_cannot_be) {
  Fixed source({});
  EXPECT_EQ(
      ask({&source}, "status=failed&model=m-1&after=2026-01-01T00:00:00Z&before=2026-02-01T00:00:00%2B01:00").status,
      200);
  EXPECT_EQ(source.asked.status, JobStatus::failed);
  EXPECT_EQ(source.asked.model, "m-1");
  EXPECT_EQ(*source.asked.before - *source.asked.after, std::chrono::days(31) - std::chrono::hours(1));
  for (const auto* query :
       {"status=over", "limit=0", "limit=x", "after=now", "before=", "cursor=x.x", "cursor=1x", "cursor="}) {
    const auto refused = ask({&source}, query);
    EXPECT_EQ(refused.status, 400) << query << refused.body;
  }
  EXPECT_EQ(ask({&source}, "cursor=x").status, 200) << "the one source is over";
}

TEST_F(JobsList, shows_one_job_with_what_it_cost_and_another_not_at_all) {
  Fixed source({{.id = "job_1",
                 .status = JobStatus::settled,
                 .model = "m-1",
                 .worker = "node-1",
                 .held = ledger::Money::nanousd(200'000),
                 .charged = ledger::Money::nanousd(37'000),
                 .usage = {.prompt = 5, .completion = 16},
                 .basis = "node_usage",
                 .receipt_hash = sha256("x"),
                 .created_at = at_second(0),
                 .completed_at = at_second(2)}});
  const auto job = json_of(ask({&source}, "", "job_1"));
  EXPECT_EQ(job["object"], "job");
  EXPECT_EQ(job["credits_charged"], "0.0037");
  EXPECT_EQ(job["usdc_value"], "0.000037");
  EXPECT_EQ(job["worker_address"], "node-1");
  EXPECT_EQ(job["tier"], "metered");
  EXPECT_EQ(job["usage"], (json{{"prompt_tokens", 5}, {"completion_tokens", 16}, {"total_tokens", 21}}));
  EXPECT_EQ(job["completed_at"], "2023-11-14T22:13:22.000Z");
  EXPECT_EQ(job["on_chain"]["proof_hash"].get<std::string>().size(), 7U + 64);
  EXPECT_EQ(job["on_chain"]["escrow_tx"].get<std::string>().size(), 88U);
  EXPECT_EQ(job["on_chain"]["settlement_tx"].get<std::string>().size(), 88U);
  EXPECT_TRUE(job["error"].is_null());
  EXPECT_TRUE(json_of(ask({&source}, ""))["data"][0]["on_chain"]["escrow_tx"].is_null()) << "lists sign nothing";
  EXPECT_EQ(ask({&source}, "", "job_2").status, 404);
}

}  // namespace
}  // namespace turnpike::api
