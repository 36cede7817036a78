// Prepared statements over one SQLite connection. Only `*_store.cpp` files include this, and only they hold SQL.
//
// Thread: the database's.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace turnpike::storage {

// Thrown by statements; caught by the database's thread alone.
class StorageError : public std::runtime_error {
 public:
  // `constraint`: the rows refused it (UNIQUE, CHECK); the store itself is well.
  StorageError(const std::string& what, bool constraint) : std::runtime_error(what), constraint_(constraint) {}
  [[nodiscard]] bool constraint() const { return constraint_; }

 private:
  bool constraint_;
};

// A piece of a statement's text.
template <std::size_t kSize>
struct SqlPart {
  // NOLINTNEXTLINE(google-explicit-constructor)
  consteval SqlPart(const char (&literal)[kSize]) { std::ranges::copy(literal, text.begin()); }
  std::array<char, kSize> text{};  // with the zero that ends it
};

// A statement's text. Only literals: statements are kept prepared under the address of their text.
class Sql {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor)
  consteval Sql(const char* text) : text_(text) {}
  // Of several, some of them shared with other statements.
  template <SqlPart... kParts>
  static consteval Sql join() {
    return kJoined<kParts...>.data();
  }
  [[nodiscard]] const char* text() const { return text_; }

 private:
  template <SqlPart... kParts>
  static constexpr auto kJoined = [] {
    std::array<char, (kParts.text.size() + ...) - sizeof...(kParts) + 1> joined{};
    auto to = joined.begin();
    ((to = std::ranges::copy_n(kParts.text.begin(), static_cast<std::ptrdiff_t>(kParts.text.size()) - 1, to).out), ...);
    return joined;
  }();
  const char* text_;
};

// A prepared statement in use; reset when it goes out of scope. One use at a time.
class Statement {
 public:
  Statement(Statement&&) = delete;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Values for the statement's `?`, in order. Text and blobs are not copied: they must last until the statement ends.
  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view text);
  Statement& bind(std::optional<std::int64_t> value);
  Statement& bind_blob(std::string_view bytes);
  Statement& bind_text_or_null(std::string_view text);  // empty: NULL

  bool step();  // true: there is a row
  void run();   // to the end; rows are ignored

  // Columns of the row, from 0.
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string_view text(int column) const;  // until the next step; NULL: empty
  [[nodiscard]] bool is_null(int column) const;

 private:
  friend class Connection;
  Statement(void* connection, void* statement) : connection_(connection), statement_(statement) {}
  [[noreturn]] void raise() const;
  void check(int code) const;
  void* connection_;
  void* statement_;
  int next_ = 0;
};

class Connection {
 public:
  virtual ~Connection() = default;
  [[nodiscard]] virtual Statement prepare(Sql sql) = 0;
  [[nodiscard]] virtual std::int64_t changes() const = 0;  // rows that the last statement changed

 protected:
  static Statement make(void* connection, void* statement) { return {connection, statement}; }
};

}  // namespace turnpike::storage
