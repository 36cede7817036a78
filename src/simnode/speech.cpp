#include "speech.hpp"

#include <array>

namespace turnpike::simnode {
namespace {

// Some are not ASCII, so that a stream cut anywhere also cuts characters.
constexpr std::array<std::string_view, 64> words = {
    "amber",   "birch",  "cedar",  "delta",   "ember",  "fjord",   "grove", "harbor",  "island", "juniper", "kelp",
    "lantern", "meadow", "north",  "ocean",   "pebble", "quartz",  "river", "saddle",  "timber", "umber",   "valley",
    "willow",  "xylem",  "yarrow", "zephyr",  "café",   "señor",   "łódź",  "日本",    "наука",  "🙂",      "anchor",
    "beacon",  "copper", "dune",   "echo",    "falcon", "glacier", "heron", "indigo",  "jasper", "kestrel", "lagoon",
    "marble",  "nectar", "onyx",   "prairie", "quiver", "raven",   "sable", "thistle", "upland", "velvet",  "walnut",
    "yonder",  "zinc",   "aspen",  "bramble", "canyon", "drift",   "eagle", "fern",    "garnet"};

}  // namespace

std::string percent_decoded(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::uint32_t fnv1a(std::string_view bytes) {
  std::uint32_t hash = 2166136261U;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

Speech::Speech(std::uint32_t start, std::size_t total, std::string_view prefix) : start_(start), size_(total) {
  skip(prefix);
}

Speech::Speech(std::string_view literal, std::string_view prefix) {
  for (const char c : literal) {
    if (c == ' ' || literal_.empty()) literal_.emplace_back();
    literal_.back() += c;
  }
  size_ = literal_.size();
  skip(prefix);
}

void Speech::skip(std::string_view prefix) {
  if (prefix.empty()) return;
  std::string_view rest = prefix;
  std::size_t index = 0;
  for (; !rest.empty() && index < size_; ++index) {
    const std::string whole = whole_token(index);
    if (rest.starts_with(whole)) {
      rest.remove_prefix(whole.size());
    } else if (whole.starts_with(rest)) {
      first_ = index;
      head_ = whole.substr(rest.size());
      size_ = size_ == endless ? endless : size_ - index;
      return;
    } else {
      if (size_ > 0) head_ = " " + whole_token(0);
      return;
    }
  }
  first_ = index;
  size_ = size_ == endless ? endless : size_ - index;
}

std::string Speech::token(std::size_t index) const {
  if (index == 0 && !head_.empty()) return head_;
  return whole_token(first_ + index);
}

std::string Speech::whole_token(std::size_t index) const {
  if (!literal_.empty()) return literal_[index];
  const std::string_view word = words[(start_ + index) % words.size()];
  return index == 0 ? std::string(word) : " " + std::string(word);
}

std::vector<float> embedding(std::string_view text, std::size_t dimensions) {
  std::vector<float> out;
  out.reserve(dimensions);
  for (std::size_t j = 0; j < dimensions; ++j) {
    const std::uint32_t hash = fnv1a(std::string(text) + ":" + std::to_string(j));
    out.push_back(static_cast<float>(static_cast<int>(hash % 2001) - 1000) / 1000.0F);
  }
  return out;
}

}  // namespace turnpike::simnode
