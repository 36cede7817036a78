// Holds an answer to the schema that its request names.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "turnpike/inference/inference.hpp"
#include "turnpike/schema/schema.hpp"

namespace turnpike::inference {

class SchemaJudge final : public relay::AnswerJudge {
 public:
  // `job` has a schema when it is asked.
  SchemaJudge(const Job& job, const InferenceLimits& limits) : job_(job), limits_(limits) {}
  [[nodiscard]] std::string misfit_of(const relay::WholeAnswer& answer) const override;

 private:
  [[nodiscard]] std::string misfit_of_choice(const schema::Schema& schema, const nlohmann::json& choice,
                                             std::size_t& steps) const;

  const Job& job_;
  const InferenceLimits& limits_;
};

}  // namespace turnpike::inference
