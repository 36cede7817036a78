// Defines all that src/relay/relay.cpp does, so that the linker takes nothing out of it.
#include "scripted_relay.hpp"

#include <stdexcept>
#include <utility>

namespace turnpike::relay {

using boost::asio::awaitable;

namespace {

void note(const Call& call) {
  auto& script = *test::playing;
  ++script.calls;
  script.path = call.path;
  script.defaults = call.edits.defaults;
  script.max_tokens = call.edits.max_tokens;
  script.asked_for_usage = call.edits.ask_for_usage;
  script.deadline = call.deadline;
}

}  // namespace

WholeAnswer::WholeAnswer(WholeAnswer&& other) noexcept = default;
WholeAnswer& WholeAnswer::operator=(WholeAnswer&& other) noexcept = default;
WholeAnswer::~WholeAnswer() = default;

Relay::Relay(boost::asio::any_io_executor executor, Deadlines& deadlines, scheduler::Scheduler& scheduler,
             NodeClient& nodes, scan::Scanner& scanner, RelayLimits limits)
    : executor_(std::move(executor)),
      deadlines_(deadlines),
      scheduler_(scheduler),
      nodes_(nodes),
      scanner_(scanner),
      limits_(limits),
      turn_end_(executor_, deadlines.clock()) {}

awaitable<Result<WholeAnswer>> Relay::whole(const Call& call) {
  note(call);
  auto& script = *test::playing;
  if (!script.answer) co_return std::unexpected(script.answer.error());
  script.answer->reserve(script.answer->size() + scan::kPadding);
  WholeAnswer answer;
  answer.json = *script.answer;
  answer.node_id = script.node;
  answer.payee = script.payee;
  if (!scanner_.answer(answer.json, answer.scan)) throw std::logic_error("the script's answer is no JSON");
  co_return answer;
}

awaitable<void> Relay::stream(const Call& call, StreamSink& sink) {
  note(call);
  auto& script = *test::playing;
  scheduler::NodeSpec spec;
  spec.id = script.node;
  const scheduler::Node node(std::move(spec), 0);
  sink.served_by(node);
  auto end = script.end;
  for (const auto& events : script.events) {
    end.began = true;
    if (sink.write(events) || co_await sink.written()) continue;
    end.client_left = true;
    break;
  }
  co_await sink.finish(end);
}

}  // namespace turnpike::relay
