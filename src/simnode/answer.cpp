#include "answer.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

#include "speech.hpp"
#include "stream.hpp"

namespace turnpike::simnode {
namespace {

using SteadyClock = std::chrono::steady_clock;

// What a choice will say, and why it ends.
struct Plan {
  Speech speech;
  std::size_t length;  // tokens; Speech::endless
  std::string_view finish_reason;
  std::string prefix;  // repeated before the first token
};

Plan plan_choice(const AnswerContext& context, const Prompt& prompt, std::int64_t choice) {
  const Behaviour& behaviour = context.behaviour;
  const bool native = behaviour.continuation == "native";
  const std::string_view prefix = native ? std::string_view(prompt.prefix) : std::string_view();
  const bool endless = behaviour.endless != 0 || behaviour.flood != 0;
  const auto total = endless ? Speech::endless : static_cast<std::size_t>(std::max<std::int64_t>(behaviour.tokens, 0));
  const std::uint32_t start = fnv1a(prompt.said) + context.seed + 7U * static_cast<std::uint32_t>(choice);
  const std::string literal = behaviour.text.empty() ? prompt.sample : percent_decoded(behaviour.text);
  Plan plan{.speech = literal.empty() ? Speech(start, total, prefix) : Speech(literal, prefix),
            .length = 0,
            .finish_reason = "stop",
            .prefix = native && prompt.repeat_prefix ? prompt.prefix : std::string()};
  plan.length = plan.speech.size();
  const bool bounded = behaviour.ignore_max_tokens == 0 && behaviour.flood == 0 && prompt.max_tokens;
  if (bounded && static_cast<std::size_t>(std::max<std::int64_t>(*prompt.max_tokens, 0)) < plan.length) {
    plan.length = static_cast<std::size_t>(std::max<std::int64_t>(*prompt.max_tokens, 0));
    plan.finish_reason = "length";
  }
  return plan;
}

std::chrono::microseconds interval_of(const Behaviour& behaviour) {
  if (behaviour.flood != 0) return {};
  if (behaviour.interval_ms > 0) return std::chrono::milliseconds(behaviour.interval_ms);
  if (behaviour.tokens_per_second > 0) return std::chrono::microseconds(1'000'000 / behaviour.tokens_per_second);
  return {};
}

std::optional<Usage> usage_of(const Behaviour& behaviour, const Prompt& prompt, std::int64_t tokens) {
  if (behaviour.usage == "none") return std::nullopt;
  Usage usage{.prompt_tokens = prompt.prompt_tokens, .completion_tokens = tokens};
  if (behaviour.usage.starts_with("lie:")) {
    const std::string_view claim = std::string_view(behaviour.usage).substr(4);
    std::from_chars(claim.data(), claim.data() + claim.size(), usage.completion_tokens);
  }
  if (behaviour.lie_prompt != Behaviour::never) usage.prompt_tokens = behaviour.lie_prompt;
  return usage;
}

AnswerHead head_of(const AnswerContext& context, const Prompt& prompt) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {.chat = prompt.chat,
          .id = (prompt.chat ? "chatcmpl-sim-" : "cmpl-sim-") + std::to_string(context.number),
          .created = std::chrono::duration_cast<std::chrono::seconds>(now).count(),
          .model = prompt.model};
}

void die(const AnswerContext& context) {
  context.progress.complete = true;
  context.connection.close(context.behaviour.die == "rst");
}

asio::awaitable<void> send_endless_head(const AnswerContext& context) {
  bool open = co_await context.connection.send("HTTP/1.1 200 OK\r\n");
  const std::string value(1000, 'x');
  for (std::int64_t i = 0; open; ++i) {
    const std::string field = "X-Pad-" + std::to_string(i) + ": " + value + "\r\n";
    open = co_await context.connection.send(field) &&
           co_await context.connection.sleep_until(SteadyClock::now() + std::chrono::milliseconds(1));
  }
}

// Behaviours that answer in place of the model. True when one did.
asio::awaitable<bool> play_instead(const AnswerContext& context, const Prompt& prompt) {
  const Behaviour& behaviour = context.behaviour;
  if (behaviour.delay_ms > 0) {
    const auto until = SteadyClock::now() + std::chrono::milliseconds(behaviour.delay_ms);
    if (!co_await context.connection.sleep_until(until)) co_return true;
  }
  if (behaviour.die_before != 0) {
    die(context);
  } else if (behaviour.stall_before != 0) {
    (void)co_await context.connection.stall();
  } else if (behaviour.endless_head != 0) {
    co_await send_endless_head(context);
  } else if (behaviour.status != 0) {
    const int status = static_cast<int>(behaviour.status);
    co_await send_whole(context, status, "application/json", error_body(status, "simulated failure"));
  } else if (behaviour.garbage != 0) {
    const bool events = prompt.stream && behaviour.content_type.empty();
    co_await send_whole(context, 200, events ? "text/event-stream" : "application/json",
                        "<html>not what you asked</html>\n");
  } else if (behaviour.wrong_object != 0 && !prompt.stream) {
    co_await send_whole(context, 200, "application/json", R"({"object":"list","data":[]})");
  } else {
    co_return false;
  }
  co_return true;
}

// One streamed answer; the steps of its life in order.
class StreamedAnswer {
 public:
  StreamedAnswer(const AnswerContext& context, const Prompt& prompt)
      : context_(context),
        behaviour_(context.behaviour),
        prompt_(prompt),
        head_(head_of(context, prompt)),
        stream_(context.connection, context.behaviour, context.keep_alive) {
    for (std::int64_t i = 0; i < prompt.choices; ++i) plans_.push_back(plan_choice(context, prompt, i));
  }

  asio::awaitable<void> play() {
    if (!co_await begin() || !co_await speak() || !co_await end()) co_return;
    context_.progress.complete = true;
    if (!stream_.chunked() || behaviour_.hangup != 0) context_.connection.close(false);
  }

 private:
  asio::awaitable<bool> begin() {
    if (behaviour_.one_write == 0 && !co_await stream_.flush()) co_return false;
    for (std::int64_t i = 0; i < prompt_.choices; ++i) {
      if (head_.chat && !co_await stream_.event(role_chunk(head_, i))) co_return false;
      const std::string& prefix = plans_[static_cast<std::size_t>(i)].prefix;
      if (!prefix.empty() && !co_await stream_.event(text_chunk(head_, i, prefix))) co_return false;
    }
    co_return true;
  }

  asio::awaitable<bool> speak() {
    if (behaviour_.tool_call != 0) co_return co_await stream_.event(tool_chunk(head_, 0));
    const auto interval = interval_of(behaviour_);
    const auto start = SteadyClock::now();
    for (std::size_t i = 0;; ++i) {
      if (!co_await misbehave(static_cast<std::int64_t>(i))) co_return false;
      bool said = false;
      if (interval.count() > 0 && behaviour_.one_write == 0) {
        if (!co_await context_.connection.sleep_until(start + interval * static_cast<std::int64_t>(i))) co_return false;
      }
      for (std::size_t choice = 0; choice < plans_.size(); ++choice) {
        if (i >= plans_[choice].length) continue;
        said = true;
        ++context_.progress.tokens_sent;
        const std::string text = plans_[choice].speech.token(i);
        if (!co_await stream_.event(text_chunk(head_, static_cast<std::int64_t>(choice), text))) co_return false;
      }
      if (!said) co_return true;
    }
  }

  // What goes wrong before token `index`. False when the answer ends here.
  asio::awaitable<bool> misbehave(std::int64_t index) {
    if (index == behaviour_.die_after || index == behaviour_.stall_after || index == behaviour_.bad_chunk) {
      if (!co_await stream_.flush()) co_return false;
      if (index == behaviour_.bad_chunk && !co_await stream_.break_framing()) co_return false;
      if (index != behaviour_.die_after) co_return co_await context_.connection.stall();
      die(context_);
      co_return false;
    }
    if (index == behaviour_.error_event) {
      const bool sent =
          co_await stream_.event(error_body(500, "simulated failure in mid-stream")) && co_await stream_.finish(false);
      context_.progress.complete = sent;
      co_return false;
    }
    if (index == behaviour_.bad_json_event && !co_await stream_.event("{\"choices\":[{\"delta\":")) co_return false;
    if (index == 0 && behaviour_.wrong_object != 0) {
      if (!co_await stream_.event(R"({"object":"list","data":[]})")) co_return false;
    }
    if (index == 1 && behaviour_.oversize_line > 0) co_return co_await oversize_line();
    co_return true;
  }

  asio::awaitable<bool> oversize_line() {
    constexpr std::int64_t piece_bytes = 65536;
    std::string piece = "data: {\"padding\":\"";
    for (std::int64_t left = behaviour_.oversize_line; left > 0;) {
      piece.resize(static_cast<std::size_t>(std::min(left, piece_bytes)), 'x');
      left -= static_cast<std::int64_t>(piece.size());
      if (left == 0) piece += "\"}\n\n";
      if (!co_await stream_.raw(piece)) co_return false;
      piece.clear();
    }
    co_return true;
  }

  asio::awaitable<bool> end() {
    for (std::size_t choice = 0; choice < plans_.size(); ++choice) {
      const std::string_view reason = behaviour_.tool_call != 0 ? "tool_calls" : plans_[choice].finish_reason;
      if (!co_await stream_.event(finish_chunk(head_, static_cast<std::int64_t>(choice), reason))) co_return false;
    }
    const auto usage = usage_of(behaviour_, prompt_, context_.progress.tokens_sent);
    if (prompt_.include_usage && usage && !co_await stream_.event(usage_chunk(head_, *usage))) co_return false;
    co_return co_await stream_.finish(behaviour_.no_done == 0);
  }

  const AnswerContext context_;
  const Behaviour& behaviour_;
  const Prompt& prompt_;
  const AnswerHead head_;
  std::vector<Plan> plans_;
  EventStream stream_;
};

struct WholeAnswer {
  std::vector<Choice> choices;
  std::int64_t tokens = 0;
  std::size_t longest = 0;  // tokens of the longest choice
};

WholeAnswer compose(const AnswerContext& context, const Prompt& prompt) {
  constexpr std::size_t endless_stands_for = 1U << 20;  // an endless answer without a stream would never come
  WholeAnswer out;
  for (std::int64_t i = 0; i < prompt.choices; ++i) {
    const Plan plan = plan_choice(context, prompt, i);
    const std::size_t length = std::min(plan.length, endless_stands_for);
    Choice choice{
        .text = plan.prefix, .finish_reason = plan.finish_reason, .tool_call = context.behaviour.tool_call != 0};
    for (std::size_t token = 0; token < length; ++token) choice.text += plan.speech.token(token);
    if (context.behaviour.oversize_line > 0)
      choice.text.assign(static_cast<std::size_t>(context.behaviour.oversize_line), 'x');
    if (choice.tool_call) choice.finish_reason = "tool_calls";
    out.tokens += static_cast<std::int64_t>(length);
    out.longest = std::max(out.longest, length);
    out.choices.push_back(std::move(choice));
  }
  return out;
}

// Half of a body whose length was announced, then the behaviour's end.
asio::awaitable<void> send_half(const AnswerContext& context, const std::string& body) {
  const std::string head =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n";
  if (!co_await context.connection.send(head + body.substr(0, body.size() / 2))) co_return;
  if (context.behaviour.stall_after != Behaviour::never) {
    (void)co_await context.connection.stall();
    co_return;
  }
  context.progress.complete = true;
  context.connection.close(context.behaviour.truncate == 0 && context.behaviour.die == "rst");
}

asio::awaitable<void> play_whole(const AnswerContext& context, const Prompt& prompt) {
  const Behaviour& behaviour = context.behaviour;
  const WholeAnswer answer = compose(context, prompt);
  const auto work = interval_of(behaviour) * static_cast<std::int64_t>(answer.longest);
  if (work.count() > 0 && !co_await context.connection.sleep_until(SteadyClock::now() + work)) co_return;
  const auto longest = static_cast<std::int64_t>(answer.longest);
  const auto reached = [longest](std::int64_t after) { return after != Behaviour::never && after <= longest; };
  const std::string body =
      completion_body(head_of(context, prompt), answer.choices, usage_of(behaviour, prompt, answer.tokens));
  if (reached(behaviour.die_after) || reached(behaviour.stall_after) || behaviour.truncate != 0) {
    co_await send_half(context, body);
    co_return;
  }
  context.progress.tokens_sent = answer.tokens;
  co_await send_whole(context, 200, "application/json", body);
}

}  // namespace

asio::awaitable<void> send_whole(AnswerContext context, int status, std::string_view content_type, std::string body) {
  const Behaviour& behaviour = context.behaviour;
  std::string out = "HTTP/1.1 " + std::to_string(status) + (status < 400 ? " OK" : " Simulated") + "\r\nContent-Type: ";
  out += behaviour.content_type.empty() ? content_type : std::string_view(behaviour.content_type);
  out += "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  if (status >= 400 && behaviour.retry_after != Behaviour::never) {
    out += "Retry-After: " + std::to_string(behaviour.retry_after) + "\r\n";
  }
  if (!context.keep_alive) out += "Connection: close\r\n";
  out += "\r\n" + body;
  if (!co_await context.connection.send(out)) co_return;
  context.progress.complete = true;
  if (!context.keep_alive || behaviour.hangup != 0) context.connection.close(false);
}

asio::awaitable<void> play_prompt(AnswerContext context, const Prompt& prompt) {
  if (co_await play_instead(context, prompt)) co_return;
  if (prompt.stream) {
    StreamedAnswer answer(context, prompt);
    co_await answer.play();
    if (!context.keep_alive && context.progress.complete) context.connection.close(false);
  } else {
    co_await play_whole(context, prompt);
  }
}

asio::awaitable<void> play_embedding(AnswerContext context, const EmbeddingPrompt& prompt) {
  const Prompt none;
  if (co_await play_instead(context, none)) co_return;
  co_await send_whole(context, 200, "application/json", embedding_body(prompt));
}

}  // namespace turnpike::simnode
