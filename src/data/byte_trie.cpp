#include "data/byte_trie.h"

#include <algorithm>
#include <deque>

#include "rt/core/error.h"

namespace rt::data {
namespace {

constexpr std::uint32_t kMaxBase = (1u << 23) - 256;  // base and label share 32 bits
constexpr std::size_t kSearched = 2048;               // units

}  // namespace

class ByteTrie::Builder {
 public:
  using Strings = std::vector<std::pair<std::string_view, std::int32_t>>;
  Builder(const Strings& strings, std::vector<Unit>& units) : strings_(strings), units_(units) {}

  // Level by level: nodes with many children come first, while there is room.
  void run() {
    grow(256);
    base_used_[0] = true;
    std::deque<Node> queue{{0, strings_.size(), 0, 0, true}};
    for (; !queue.empty(); queue.pop_front()) place_children(queue.front(), queue);
  }

 private:
  struct Node {
    std::size_t begin, end;  // the strings below it
    std::size_t depth;
    std::uint32_t unit;
    bool root;
  };
  struct Child {
    unsigned char label;
    std::size_t begin, end;
  };

  std::vector<Child> children_of(const Node& node) const {
    std::vector<Child> children;
    for (std::size_t i = node.begin; i < node.end; ++i) {
      const std::string_view text = strings_[i].first;
      if (text.size() == node.depth) continue;  // the node itself
      const auto label = static_cast<unsigned char>(text[node.depth]);
      if (children.empty() || children.back().label != label) children.push_back({label, i, i});
      children.back().end = i + 1;
    }
    return children;
  }

  void place_children(const Node& node, std::deque<Node>& queue) {
    const std::vector<Child> children = children_of(node);
    if (children.empty()) return;
    const std::uint32_t base = node.root ? 0 : find_base(children);
    if (!node.root) units_[node.unit].base_label |= base << 9;
    base_used_[base] = true;
    for (const Child& child : children) {
      const std::uint32_t at = base ^ child.label;
      units_[at].base_label = child.label;
      const auto& first = strings_[child.begin];
      if (first.first.size() == node.depth + 1) units_[at].id = first.second;
      queue.push_back({child.begin, child.end, node.depth + 1, at, false});
    }
  }

  bool fits(std::uint32_t base, const std::vector<Child>& children) const {
    if (base == 0 || base_used_[base]) return false;
    return std::all_of(children.begin(), children.end(),
                       [&](const Child& child) { return units_[base ^ child.label].label() == kFree; });
  }

  std::uint32_t find_base(const std::vector<Child>& children) {
    while (units_[first_free_].label() != kFree) {
      if (++first_free_ == units_.size()) grow(units_.size() + 256);
    }
    // Near the end only: the holes further down have been tried by many and fit few.
    for (std::size_t at = std::max(first_free_, units_.size() - std::min(units_.size(), kSearched));; ++at) {
      if (at == units_.size()) grow(units_.size() + 256);
      if (units_[at].label() != kFree) continue;
      const std::uint32_t base = static_cast<std::uint32_t>(at) ^ children.front().label;
      if (fits(base, children)) return base;
    }
  }

  // In whole blocks of 256, so that base ^ byte never leaves them.
  void grow(std::size_t size) {
    RT_CHECK(size <= kMaxBase, "a trie of {} units is too large", size);
    units_.resize(size);
    base_used_.resize(size);
  }

  const Strings& strings_;
  std::vector<Unit>& units_;
  std::vector<bool> base_used_;
  std::size_t first_free_ = 1;
};

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, std::int32_t>> strings) : pairs_(65536) {
  std::sort(strings.begin(), strings.end());
  Builder(strings, units_).run();
  for (std::uint32_t a = 0; a < 256; ++a) {
    const Unit one = units_[a];
    if (one.label() != a) continue;
    for (std::uint32_t b = 0; b < 256; ++b) {
      Pair& pair = pairs_[a << 8 | b];
      if (one.id >= 0) {
        pair.id = one.id;
        pair.length = 1;
      }
      const Unit two = one.base() == 0 ? Unit{} : units_[one.base() ^ b];
      if (two.label() != b) continue;
      pair.base = two.base();
      if (two.id < 0) continue;
      pair.id = two.id;
      pair.length = 2;
    }
  }
}

}  // namespace rt::data
