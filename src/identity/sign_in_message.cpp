#include "turnpike/identity/sign_in_message.hpp"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "turnpike/base/encoding.hpp"

namespace turnpike::identity {
namespace {

constexpr std::string_view kAsks = " wants you to sign in with your ";
constexpr std::string_view kNonce = "Nonce: ";
constexpr std::size_t kLeastNonce = 8;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_alphanumeric(char c) {
  return is_alpha(c) || is_digit(c);
}
// RFC 3986, sections 2.2 and 2.3.
bool is_unreserved(char c) {
  return is_alphanumeric(c) || std::string_view("-._~").contains(c);
}
bool is_sub_delim(char c) {
  return std::string_view("!$&'()*+,;=").contains(c);
}
bool is_gen_delim(char c) {
  return std::string_view(":/?#[]@").contains(c);
}

bool is_scheme(std::string_view text) {
  return !text.empty() && is_alpha(text.front()) &&
         std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || std::string_view("+-.").contains(c); });
}

bool is_statement(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return is_unreserved(c) || is_sub_delim(c) || is_gen_delim(c) || c == ' ';
  });
}

bool is_chain_id(ChainNamespace chain, std::string_view text) {
  if (chain == ChainNamespace::eip155) return !text.empty() && std::ranges::all_of(text, is_digit);
  // A name ("mainnet"), or a chain of CAIP-2 ("solana:mainnet").
  return !text.empty() &&
         std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || std::string_view("-_:").contains(c); });
}

bool is_nonce(std::string_view text) {
  return text.size() >= kLeastNonce && std::ranges::all_of(text, is_alphanumeric);
}

// *pchar (RFC 3986, section 3.3).
bool is_request_id(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_unreserved(c) || is_sub_delim(c) || c == ':' || c == '@') continue;
    if (c != '%' || i + 2 >= text.size() || !from_hex(text.substr(i + 1, 2))) return false;
    i += 2;
  }
  return true;
}

std::optional<WallTime> time_of(std::string_view text) {
  return parse_rfc3339(text).transform(
      [](std::int64_t unix_micros) { return WallTime(std::chrono::microseconds(unix_micros)); });
}

std::string text_of(WallTime at) {
  return rfc3339(at.time_since_epoch().count());
}

// The text that is left to read. A step that does not find what the grammar wants names the term, and all later steps
// do nothing.
class Reader {
 public:
  explicit Reader(std::string_view text) : left_(text) {}

  [[nodiscard]] bool failed() const { return !fault_.empty(); }
  [[nodiscard]] std::string_view fault() const { return fault_; }
  void fail(std::string_view term) {
    if (!failed()) fault_ = term;
  }

  bool take_if(std::string_view literal) {
    if (failed() || !left_.starts_with(literal)) return false;
    left_.remove_prefix(literal.size());
    return true;
  }
  void take(std::string_view literal, std::string_view term) {
    if (!take_if(literal)) fail(term);
  }
  // Up to the end of the line, which stays.
  std::string_view rest_of_line() {
    if (failed()) return {};
    const std::string_view line = left_.substr(0, left_.find('\n'));
    left_.remove_prefix(line.size());
    return line;
  }
  template <class Check>
  std::string take_line(std::string_view term, Check well_formed) {
    const std::string_view line = rest_of_line();
    if (!failed() && !well_formed(line)) fail(term);
    return std::string(line);
  }
  WallTime take_time(std::string_view term) {
    const auto at = time_of(rest_of_line());
    if (!at) fail(term);
    return at.value_or(WallTime{});
  }
  [[nodiscard]] bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
  std::string_view fault_;
};

// [ scheme "://" ] domain %s" wants you to sign in with your Ethereum account:"
void read_origin(Reader& reader, SignInMessage& message) {
  std::string_view line = reader.rest_of_line();
  const auto asks = line.find(kAsks);
  if (asks == std::string_view::npos) return reader.fail("domain");
  std::string_view origin = line.substr(0, asks);
  const std::string_view account = line.substr(asks + kAsks.size());
  for (const auto chain : {ChainNamespace::eip155, ChainNamespace::solana}) {
    if (account != std::string(account_kind(chain)) + " account:") continue;
    message.wallet.chain = chain;
    if (const auto end = origin.find("://"); end != std::string_view::npos) {
      message.scheme = origin.substr(0, end);
      origin.remove_prefix(end + 3);
      if (!is_scheme(message.scheme)) return reader.fail("scheme");
    }
    message.domain = origin;
    if (!is_domain(origin)) reader.fail("domain");
    return;
  }
  reader.fail("account");
}

void read_address(Reader& reader, SignInMessage& message) {
  reader.take("\n", "address");
  const std::string_view address = reader.rest_of_line();
  const auto wallet = parse_wallet(message.wallet.chain, address);
  // Not only right but as EIP-55 writes it: one case throughout is no checksum.
  if (!wallet || wallet->address != address) return reader.fail("address");
  message.wallet = *wallet;
}

void read_required_fields(Reader& reader, SignInMessage& message) {
  reader.take("URI: ", "uri");
  message.uri = reader.take_line("uri", is_uri);
  reader.take("\nVersion: 1\n", "version");
  reader.take("Chain ID: ", "chain-id");
  message.chain_id =
      reader.take_line("chain-id", [&](std::string_view text) { return is_chain_id(message.wallet.chain, text); });
  reader.take("\n", "nonce");
  reader.take(kNonce, "nonce");
  message.nonce = reader.take_line("nonce", is_nonce);
  reader.take("\nIssued At: ", "issued-at");
  message.issued_at = reader.take_time("issued-at");
}

void read_optional_fields(Reader& reader, SignInMessage& message) {
  if (reader.take_if("\nExpiration Time: ")) message.expiration_time = reader.take_time("expiration-time");
  if (reader.take_if("\nNot Before: ")) message.not_before = reader.take_time("not-before");
  if (reader.take_if("\nRequest ID: ")) message.request_id = reader.take_line("request-id", is_request_id);
  if (!reader.take_if("\nResources:")) return;
  while (reader.take_if("\n- ")) message.resources.push_back(reader.take_line("resource", is_uri));
}

}  // namespace

bool is_domain(std::string_view text) {
  const auto authority = boost::urls::parse_authority({text.data(), text.size()});
  return authority && !authority->encoded_host().empty();
}

bool is_uri(std::string_view text) {
  return boost::urls::parse_uri({text.data(), text.size()}).has_value();
}

std::string to_text(const SignInMessage& message) {
  std::string text;
  if (!message.scheme.empty()) text.append(message.scheme).append("://");
  text.append(message.domain).append(kAsks).append(account_kind(message.wallet.chain)).append(" account:\n");
  text.append(message.wallet.address).append("\n\n");
  if (message.statement) text.append(*message.statement).append("\n");
  text.append("\nURI: ").append(message.uri);
  text.append("\nVersion: 1\nChain ID: ").append(message.chain_id);
  text.append("\n").append(kNonce).append(message.nonce);
  text.append("\nIssued At: ").append(text_of(message.issued_at));
  if (message.expiration_time) text.append("\nExpiration Time: ").append(text_of(*message.expiration_time));
  if (message.not_before) text.append("\nNot Before: ").append(text_of(*message.not_before));
  if (message.request_id) text.append("\nRequest ID: ").append(*message.request_id);
  if (!message.resources.empty()) text.append("\nResources:");
  for (const std::string& resource : message.resources) text.append("\n- ").append(resource);
  return text;
}

std::expected<SignInMessage, std::string_view> parse_sign_in_message(std::string_view text) {
  SignInMessage message;
  Reader reader(text);
  read_origin(reader, message);
  read_address(reader, message);
  reader.take("\n\n", "address");
  // An empty line here stands for a statement that is not there.
  if (!reader.take_if("\n")) {
    message.statement = reader.take_line("statement", is_statement);
    reader.take("\n\n", "statement");
  }
  read_required_fields(reader, message);
  read_optional_fields(reader, message);
  if (!reader.at_end()) reader.fail("end");
  if (reader.failed()) return std::unexpected(reader.fault());
  return message;
}

bool resembles_sign_in_message(std::string_view text) {
  return text.contains(kAsks) || text.contains(kNonce);
}

}  // namespace turnpike::identity
