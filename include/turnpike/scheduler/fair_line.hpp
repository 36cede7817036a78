// The waiting line: bounded, and fair between accounts: each account's first comes before any account's second. Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <unordered_map>

namespace turnpike::scheduler {

template <class Waiter>
class FairLine {
 public:
  FairLine(std::size_t limit, std::size_t limit_per_account) : limit_(limit), limit_per_account_(limit_per_account) {}

  // False: the line, or the account's part of it, is full.
  [[nodiscard]] bool push(std::int64_t account, Waiter* waiter) {
    if (size_ >= limit_) return false;
    auto [it, added] = lines_.try_emplace(account);
    if (it->second.size() >= limit_per_account_) return false;
    if (added) turns_.push_back(account);
    it->second.push_back(waiter);
    ++size_;
    return true;
  }

  void remove(std::int64_t account, Waiter* waiter) {
    const auto it = lines_.find(account);
    if (it == lines_.end()) return;
    if (std::erase(it->second, waiter) == 0) return;
    --size_;
    if (it->second.empty()) {
      lines_.erase(it);
      turns_.remove(account);
    }
  }

  // Offers each account's first waiter, in turn, to `take` until it says true; that one leaves the line and its account
  // goes to the back. Null: nobody was taken. Within an account nobody is overtaken, but by requests for other models.
  template <class Take>
  Waiter* take_first(Take take) {
    for (auto turn = turns_.begin(); turn != turns_.end(); ++turn) {
      auto& line = lines_.at(*turn);
      for (auto it = line.begin(); it != line.end(); ++it) {
        Waiter* waiter = *it;
        if (!take(*waiter)) continue;
        line.erase(it);
        --size_;
        if (line.empty()) {
          lines_.erase(*turn);
          turns_.erase(turn);
        } else {
          turns_.splice(turns_.end(), turns_, turn);
        }
        return waiter;
      }
    }
    return nullptr;
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  std::size_t limit_;
  std::size_t limit_per_account_;
  std::size_t size_ = 0;
  std::unordered_map<std::int64_t, std::deque<Waiter*>> lines_;
  std::list<std::int64_t> turns_;
};

}  // namespace turnpike::scheduler
