// HTTP/1.1 messages as views into the bytes they came in (RFC 9112). Beast's basic_parser does the parsing, by
// callbacks; no field container is built.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/verb.hpp>
#include <boost/system/error_code.hpp>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace turnpike::http {

using Field = boost::beast::http::field;
using Verb = boost::beast::http::verb;

struct HeaderField {
  Field id;  // Field::unknown for names that Beast does not list
  std::string_view name;
  std::string_view value;
};

// The fields of one head, in order. Views: valid as long as the bytes they were parsed from stay where they are.
class Fields {
 public:
  // The first value of that name; nullopt when absent.
  [[nodiscard]] std::optional<std::string_view> find(Field id) const;
  // Any case.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;
  [[nodiscard]] const std::vector<HeaderField>& all() const { return fields_; }

  void clear() { fields_.clear(); }
  void add(HeaderField field) {
    if (fields_.empty()) fields_.reserve(16);
    fields_.push_back(field);
  }
  // The bytes moved by `by`: so do the views.
  void rebase(std::ptrdiff_t by);
  // The first value of that name takes `size` bytes now, and what lies behind it moved accordingly.
  void resize_value(Field id, std::size_t size);

 private:
  std::vector<HeaderField> fields_;
};

[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b);
// True when the comma-separated list holds `token`, in any case, parameters aside: has_token("a, text/html;q=1",
// "text/html").
[[nodiscard]] bool has_token(std::string_view list, std::string_view token);

// Parses one message out of a contiguous buffer. Feed it with put(); body bytes of a chunked message are handed to
// `Body` as views, piece by piece.
template <bool IsRequest>
class MessageParser : public boost::beast::http::basic_parser<IsRequest> {
 public:
  using error_code = boost::system::error_code;
  using view = boost::beast::string_view;
  struct BodySink {
    void (*piece)(void* owner, std::string_view bytes);
    void* owner;
  };

  // `fields` is cleared and filled; values in folded lines (obs-fold, RFC 9112 section 5.2) are refused.
  MessageParser(Fields& fields, BodySink sink) : fields_(fields), sink_(sink) { fields_.clear(); }

  Verb verb = Verb::unknown;
  std::string_view method;
  std::string_view target;
  unsigned status = 0;
  int version = 0;  // 10 or 11

 protected:
  static std::string_view plain(view text) { return {text.data(), text.size()}; }

  void on_request_impl(Verb v, view m, view t, int minor, error_code& /*error*/) override {
    version = minor;
    verb = v;
    method = plain(m);
    target = plain(t);
  }
  void on_response_impl(int s, view /*reason*/, int minor, error_code& /*error*/) override {
    version = minor;
    status = static_cast<unsigned>(s);
  }
  void on_field_impl(Field id, view name, view value, error_code& error) override {
    // A value that was unfolded lies in the parser's own memory, not behind its name.
    const bool in_place = value.empty() || (value.data() > name.data() && value.data() < name.data() + 65536);
    if (!in_place) {
      error = boost::beast::http::error::bad_value;
      return;
    }
    fields_.add({id, plain(name), plain(value)});
  }
  void on_header_impl(error_code& /*error*/) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const& /*length*/, error_code& /*error*/) override {}
  std::size_t on_body_impl(view bytes, error_code& /*error*/) override {
    sink_.piece(sink_.owner, plain(bytes));
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t /*size*/, view /*extensions*/, error_code& /*error*/) override {}
  std::size_t on_chunk_body_impl(std::uint64_t /*remain*/, view bytes, error_code& /*error*/) override {
    sink_.piece(sink_.owner, plain(bytes));
    return bytes.size();
  }
  void on_finish_impl(error_code& /*error*/) override {}

 private:
  Fields& fields_;
  BodySink sink_;
};

}  // namespace turnpike::http
