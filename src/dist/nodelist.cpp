#include <charconv>

#include "rt/core/error.h"
#include "rt/dist/launch.h"

namespace rt::dist {
namespace {

constexpr std::size_t kMostNodes = std::size_t{1} << 20;  // a list that says more is damaged

class NodeList {
 public:
  explicit NodeList(std::string_view text) : text_(text) {}

  std::vector<std::string> expand() {
    if (text_.empty()) refuse("is empty");
    std::vector<std::string> all;
    for (;;) {
      for (std::string& name : entry()) all.push_back(std::move(name));
      if (all.size() > kMostNodes) refuse("names too many nodes");
      if (at_ == text_.size()) return all;
      ++at_;  // the comma
    }
  }

 private:
  // Up to a comma outside brackets: the names it stands for.
  std::vector<std::string> entry() {
    std::vector<std::string> names(1);
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',') {
      if (text_[at_] == '[') {
        ++at_;
        names = with_each(names, range());
      } else if (text_[at_] == ']') {
        refuse("has a ] too many");
      } else {
        for (std::string& name : names) name += text_[at_];
        ++at_;
      }
    }
    if (at_ == begin) refuse("has an empty name");
    return names;
  }

  // "1-3,07]": behind it.
  std::vector<std::string> range() {
    std::vector<std::string> numbers;
    for (;;) {
      const std::string_view first = digits();
      std::string_view last = first;
      if (at_ < text_.size() && text_[at_] == '-') {
        ++at_;
        last = digits();
      }
      const std::uint64_t from = value(first), to = value(last);
      if (from > to) refuse("has a range that ends before it begins");
      if (to - from >= kMostNodes) refuse("names too many nodes");
      for (std::uint64_t i = from; i <= to; ++i) {
        const std::string number = std::to_string(i);
        numbers.push_back(std::string(first.size() - std::min(first.size(), number.size()), '0') + number);
      }
      if (at_ == text_.size()) refuse("lacks a ]");
      const char next = text_[at_++];
      if (next == ']') return numbers;
      if (next != ',') refuse("has something else than numbers in []");
    }
  }

  std::vector<std::string> with_each(const std::vector<std::string>& names,
                                     const std::vector<std::string>& ends) const {
    if (names.size() * ends.size() > kMostNodes) refuse("names too many nodes");
    std::vector<std::string> all;
    for (const std::string& name : names)
      for (const std::string& end : ends) all.push_back(name + end);
    return all;
  }

  std::string_view digits() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    if (at_ == begin) refuse("has something else than numbers in []");
    return text_.substr(begin, at_ - begin);
  }
  std::uint64_t value(std::string_view number) const {
    std::uint64_t out = 0;
    if (std::from_chars(number.data(), number.data() + number.size(), out).ec != std::errc())
      refuse("has a number too large");
    return out;
  }
  [[noreturn]] void refuse(const char* why) const {
    fail(Exit::Config, "Slurm's list of nodes \"{}\" {}. Set dist.rendezvous: host:port.", text_, why);
  }
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<std::string> expand_nodelist(std::string_view list) { return NodeList(list).expand(); }

std::vector<int> expand_tasks_per_node(std::string_view list) {
  std::vector<int> tasks;
  const auto refuse = [&] {
    fail(Exit::Config, "Slurm's tasks per node \"{}\" are no list like 2(x3),1.", list);
  };
  const char* at = list.data();
  const char* const end = at + list.size();
  const auto number = [&](int most) {
    int n = 0;
    const auto [next, error] = std::from_chars(at, end, n);
    if (error != std::errc() || n < 1 || n > most) refuse();
    at = next;
    return n;
  };
  for (;;) {
    const int n = number(1 << 16);
    int nodes = 1;
    if (end - at > 2 && at[0] == '(' && at[1] == 'x') {
      at += 2;
      nodes = number(1 << 20);
      if (at == end || *at++ != ')') refuse();
    }
    tasks.insert(tasks.end(), static_cast<std::size_t>(nodes), n);
    if (at == end) return tasks;
    if (*at++ != ',') refuse();
  }
}

}  // namespace rt::dist
