#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace rt::data {

// The longest of many byte strings that a text begins with, in one memory access per byte. A double array
// whose bases are unique: the child of a node by byte c lies at base ^ c and is marked with c. The first two
// bytes are one look into a table of all pairs.
class ByteTrie {
 public:
  struct Match {
    std::int32_t id = -1;      // -1: none
    std::uint32_t length = 0;  // bytes
    bool open = false;         // the text ended where a longer string could still come
  };

  // Distinct strings of at least one byte, with ids in [0, 2^30).
  explicit ByteTrie(std::vector<std::pair<std::string_view, std::int32_t>> strings);

  Match longest(std::string_view text) const {  // not empty
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    if (text.size() < 2) {
      const Unit& one = units_[bytes[0]];  // the root's base is 0
      const bool known = one.label() == bytes[0];
      return {known ? one.id : -1, known && one.id >= 0 ? 1u : 0u, known && one.base() != 0};
    }
    const Pair& pair = pairs_[std::size_t{bytes[0]} << 8 | bytes[1]];
    Match match{pair.id, pair.length, false};
    std::uint32_t base = pair.base;
    for (std::size_t at = 2; base != 0; ++at) {
      if (at == text.size()) {
        match.open = true;
        break;
      }
      const Unit unit = units_[base ^ bytes[at]];
      if (unit.label() != bytes[at]) break;
      base = unit.base();
      if (unit.id >= 0) {
        match.id = unit.id;
        match.length = static_cast<std::uint32_t>(at + 1);
      }
    }
    return match;
  }

 private:
  static constexpr std::uint32_t kFree = 256;  // the label of a unit that is nobody's child
  struct Unit {
    std::uint32_t base_label = kFree;
    std::int32_t id = -1;                                   // of the string that ends here
    std::uint32_t base() const { return base_label >> 9; }  // 0: no child
    std::uint32_t label() const { return base_label & 511; }
  };
  struct Pair {
    std::uint32_t base = 0;
    std::int32_t id : 30 = -1;
    std::uint32_t length : 2 = 0;
  };
  class Builder;
  std::vector<Unit> units_;
  std::vector<Pair> pairs_;  // 65536
};

}  // namespace rt::data
