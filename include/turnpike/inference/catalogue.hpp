// The models the gateway sells: what each can do and what it costs. Replaced as a whole on reload.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/ledger/price.hpp"
#include "turnpike/scan/scan.hpp"

namespace turnpike::inference {

// Of a model's price, in percent: while none of its slots is in use, and while all are. In between in proportion.
struct Demand {
  std::uint64_t least_percent = 100;
  std::uint64_t most_percent = 100;
};

struct Model {
  std::string id;
  std::string id_json;  // with quotes and escapes
  std::string owned_by;
  std::int64_t created = 0;  // Unix seconds
  bool chat = true;
  bool completion = true;
  bool embeddings = false;
  bool vision = false;
  bool structured_output = false;
  std::uint64_t context_window = 0;  // tokens; 0: not known
  std::uint64_t max_output_tokens = 0;
  ledger::Price price;
  std::optional<Demand> demand;  // absent: the price does not change

  // The price while `busy` of `slots` are in use; each part is rounded up to a nano-dollar.
  [[nodiscard]] ledger::Price price_at(std::size_t busy, std::size_t slots) const;
};

using ModelPtr = std::shared_ptr<const Model>;

// Loop thread only.
class Catalogue {
 public:
  void assign(std::vector<Model> models);
  [[nodiscard]] ModelPtr find(std::string_view id) const;
  // In the configuration's order.
  [[nodiscard]] const std::vector<ModelPtr>& all() const { return models_; }

 private:
  std::vector<ModelPtr> models_;
  std::map<std::string, ModelPtr, std::less<>> by_id_;
};

}  // namespace turnpike::inference
