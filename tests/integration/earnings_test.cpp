// Money out: what the owners of nodes earn by real requests, and that the books prove it.
#include <gmock/gmock.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <thread>

#include "support/network.hpp"

namespace turnpike::test {
namespace {

using nlohmann::json;

// A decimal string of dollars, exactly.
std::int64_t nanousd(const std::string& usdc) {
  const bool negative = usdc.starts_with('-');
  const auto point = usdc.find('.');
  const auto whole = std::stoll(usdc.substr(negative ? 1 : 0, point));
  auto decimals = usdc.substr(point + 1);
  decimals.resize(9, '0');
  const auto amount = whole * 1'000'000'000 + std::stoll(decimals);
  return negative ? -amount : amount;
}

std::int64_t amount_of(const json& charge) {
  return -nanousd(charge["amount_usdc"]);
}

// In millionths, of an amount; rounded down.
std::int64_t share_of(std::int64_t amount, std::int64_t millionths) {
  return amount * millionths / 1'000'000;
}

class Earnings : public NetworkTest {
 protected:
  struct Owner {
    std::string account;
    std::string key;
  };
  Finished command(std::vector<std::string> words) {
    words.insert(words.begin(), TURNPIKE_BINARY_DIR "/turnpike");
    words.insert(words.end(), {"--data-dir", config["data_dir"].get<std::string>(), "--json"});
    return run(std::move(words), folder.file("command.log"));
  }
  Owner new_owner() {
    const auto made = command({"keys", "create"});
    EXPECT_EQ(made.code, 0) << made.output;
    const auto key = json::parse(made.output);
    return {.account = key["account_id"], .key = key["api_key"]};
  }
  void reload() {
    std::ofstream(folder.file("turnpike.json")) << config.dump(2);
    const auto before = gateway->output().size();
    gateway->signal(SIGHUP);
    ASSERT_TRUE(eventually([&] { return gateway->output().find("reloaded ", before) != std::string::npos; }))
        << gateway->output();
  }
  void own(std::size_t node, const Owner& owner, const std::string& share) {
    config["nodes"][node]["owner"] = owner.account;
    config["nodes"][node]["payout_share"] = share;
  }
  json earnings(const Owner& owner, const std::string& node) {
    return get(owner.key, "/v1/nodes/" + node + "/earnings?limit=200");
  }
  std::int64_t earned(const Owner& owner, const std::string& node) {
    return nanousd(earnings(owner, node)["earned_usdc"]);
  }
  std::int64_t charged(const std::string& key) {
    std::int64_t sum = 0;
    for (const auto& each : charges(key)) sum += amount_of(each);
    return sum;
  }
  // What `turnpike ledger check` says, once the gateway has ended.
  json books() {
    EXPECT_EQ(stop_gateway(), 0);
    const auto checked = command({"ledger", "check"});
    EXPECT_EQ(checked.code, 0) << checked.output;
    return json::parse(checked.output);
  }
};

TEST_F(Earnings, an_owner_earns_its_share_of_each_charge_to_the_nano_dollar) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto owner = new_owner();
  ASSERT_EQ(ask(key, chat("x")).status, 200);
  EXPECT_EQ(call(address, "GET", "/v1/nodes/node-1/earnings", bearer(owner.key)).status, 404) << "not its own yet";
  const auto before = charged(key);
  own(0, owner, "0.777777");
  reload();
  std::int64_t wanted = 0;
  for (const bool stream : {false, true, false, true}) {
    ASSERT_EQ(ask(key, chat("[[sim tokens=" + std::string(stream ? "13" : "7") + "]] x", stream)).status, 200);
    const auto charge = charges(key)[0];
    const auto newest = earnings(owner, "node-1")["data"][0];
    EXPECT_EQ(newest["id"], charge["id"]);
    EXPECT_EQ(newest["usage"], charge["usage"]);
    EXPECT_EQ(nanousd(newest["amount_usdc"]), share_of(amount_of(charge), 777'777));
    wanted += share_of(amount_of(charge), 777'777);
  }
  EXPECT_EQ(earned(owner, "node-1"), wanted);
  EXPECT_EQ(balance_usdc(owner.key), "0.00") << "earnings are no credits";
  EXPECT_EQ(call(address, "GET", "/v1/nodes/node-1/earnings", bearer(key)).status, 404) << "the payer is not the owner";
  const auto paid = charged(key);
  const auto found = books();
  EXPECT_EQ(nanousd(found["owners_usdc"]), wanted);
  EXPECT_EQ(nanousd(found["network_usdc"]), paid - wanted - 1'000'000'000)
      << before << " of it before there was an owner";
}

TEST_F(Earnings, a_stream_that_another_node_carries_on_is_divided_between_the_owners) {
  add_node({"--set", "die_after=20"});
  add_node({"--set", "continuation=native"}, {{"weight", 1}});
  config["scheduler"]["breaker_failures"] = 1000;
  start_gateway();
  const auto key = create_key("100");
  const auto one = new_owner();
  const auto two = new_owner();
  own(0, one, "0.5");
  own(1, two, "0.9");
  reload();
  json charge;
  bool continued = false;
  for (int i = 0; i < 20 && !continued; ++i) {
    ASSERT_TRUE(ask(key, chat("[[sim tokens=60]] a tale", true)).done());
    charge = charges(key)[0];
    continued = charge["node_id"] == "node-1,node-2";
  }
  ASSERT_TRUE(continued) << "node-1 was never the first";
  ASSERT_EQ(charge["usage"]["completion_tokens"], 60);
  const auto first = earnings(one, "node-1")["data"][0];
  const auto second = earnings(two, "node-2")["data"][0];
  EXPECT_EQ(first["id"], charge["id"]);
  EXPECT_EQ(second["id"], charge["id"]);
  EXPECT_EQ(first["usage"], (json{{"prompt_tokens", 0}, {"completion_tokens", 20}}));
  EXPECT_EQ(second["usage"], (json{{"prompt_tokens", charge["usage"]["prompt_tokens"]}, {"completion_tokens", 40}}));
  // A prompt token costs 1'000 nano-dollars here, a completion token 2'000.
  const auto prompt = charge["usage"]["prompt_tokens"].get<std::int64_t>();
  EXPECT_EQ(amount_of(charge), prompt * 1'000 + 60 * 2'000);
  EXPECT_EQ(nanousd(first["amount_usdc"]), share_of(20 * 2'000, 500'000));
  EXPECT_EQ(nanousd(second["amount_usdc"]), share_of(prompt * 1'000 + 40 * 2'000, 900'000));
  books();
}

TEST_F(Earnings, a_client_that_leaves_pays_the_owner_its_share_of_what_was_relayed) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto owner = new_owner();
  config["payout_share"] = "0.8";  // of all nodes
  config["nodes"][0]["owner"] = owner.account;
  reload();
  auto [client, answer] = open_stream(key, chat("[[sim tokens=100000 ignore_max_tokens=1 interval_ms=20]] x", true));
  ASSERT_TRUE(client.read_until(answer, "content\":\" "));
  client.close();
  ASSERT_TRUE(eventually([&] { return charges(key).size() == 1; }));
  const auto charge = charges(key)[0];
  EXPECT_EQ(charge["basis"], "relayed");
  EXPECT_GT(amount_of(charge), 0);
  EXPECT_EQ(earned(owner, "node-1"), share_of(amount_of(charge), 800'000));
  books();
}

TEST_F(Earnings, what_costs_nothing_earns_nothing) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto owner = new_owner();
  own(0, owner, "1");
  reload();
  EXPECT_EQ(ask(key, chat("[[sim status=400]] x")).status, 400);
  EXPECT_EQ(earned(owner, "node-1"), 0);
  EXPECT_EQ(nanousd(books()["owners_usdc"]), 0);
}

TEST_F(Earnings, of_two_hundred_at_once_sum_to_their_shares) {
  for (int i = 0; i < 2; ++i) add_node({}, {{"capacity", 128}});
  start_gateway();
  const auto key = create_key("1000");
  const auto one = new_owner();
  const auto two = new_owner();
  own(0, one, "0.333333");
  own(1, two, "0.9");
  reload();
  std::atomic<int> served = 0;
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < 200; ++i) {
      clients.emplace_back([&, i] {
        const auto prompt = "[[sim tokens=" + std::to_string(1 + i % 17) + " delay_ms=20]] x";
        served += ask(key, chat(prompt, i % 2 == 0)).status == 200 ? 1 : 0;
      });
    }
  }
  EXPECT_EQ(served, 200);
  std::int64_t of_one = 0;
  std::int64_t of_two = 0;
  const auto all = charges(key);
  EXPECT_EQ(all.size(), 200U);
  for (const auto& charge : all) {
    if (charge["node_id"] == "node-1") {
      of_one += share_of(amount_of(charge), 333'333);
    } else {
      of_two += share_of(amount_of(charge), 900'000);
    }
  }
  EXPECT_GT(of_one, 0);
  EXPECT_GT(of_two, 0);
  EXPECT_EQ(earned(one, "node-1"), of_one);
  EXPECT_EQ(earned(two, "node-2"), of_two);
  const auto paid = charged(key);
  const auto found = books();
  EXPECT_EQ(nanousd(found["owners_usdc"]), of_one + of_two);
  EXPECT_EQ(nanousd(found["network_usdc"]), paid - of_one - of_two - 10'000'000'000);
}

TEST_F(Earnings, a_node_taken_out_of_the_configuration_still_shows_them_and_survives_a_restart) {
  add_node();
  add_node();
  start_gateway();
  const auto key = create_key("100");
  const auto owner = new_owner();
  own(0, owner, "0.5");
  own(1, owner, "0.5");
  reload();
  ASSERT_TRUE(eventually([&] { return ask(key, chat("x")).status == 200 && earned(owner, "node-1") > 0; }));
  const auto before = earnings(owner, "node-1");
  config["nodes"].erase(0);
  reload();
  EXPECT_EQ(earnings(owner, "node-1"), before);
  const auto shown = command({"nodes", "earnings", "node-1", "--account", owner.account});
  EXPECT_EQ(shown.code, 0) << shown.output;
  EXPECT_EQ(json::parse(shown.output)["earned_usdc"], before["earned_usdc"]);
  EXPECT_EQ(command({"nodes", "earnings", "node-1"}).code, 1) << "no longer anybody's";
  EXPECT_EQ(json::parse(command({"nodes", "list"}).output)["payout_share"], "0.5");
  EXPECT_EQ(stop_gateway(), 0);
  start_gateway();
  EXPECT_EQ(earnings(owner, "node-1"), before);
}

TEST_F(Earnings, an_owner_that_has_no_account_is_refused_by_name) {
  add_node();
  start_gateway();
  const auto key = create_key("100");
  own(0, {.account = "acct_nobody", .key = ""}, "0.5");
  std::ofstream(folder.file("turnpike.json")) << config.dump(2);
  gateway->signal(SIGHUP);
  gateway->wait_for_output(R"(/nodes/0/owner: expected an account of this ledger, got "acct_nobody")");
  EXPECT_EQ(ask(key, chat("x")).status, 200) << "all or nothing: it goes on as it was";
  EXPECT_EQ(stop_gateway(), 0);
  gateway = std::make_unique<Child>(
      std::vector<std::string>{TURNPIKE_BINARY_DIR "/turnpike", "serve", "--config", folder.file("turnpike.json")},
      folder.file("refused.log"));
  EXPECT_EQ(gateway->wait(), 1);
}

}  // namespace
}  // namespace turnpike::test
