#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace rt::config {

struct SeqLenPart {
  std::optional<std::int64_t> until;  // steps that begin before so many tokens of the run; the last: empty
  std::int64_t value = 0;             // required
  friend bool operator==(const SeqLenPart&, const SeqLenPart&) = default;
};

// Tokens of a sequence: one number, or a curriculum of shorter ones that ends in it. Each shorter one divides
// it, so that every step has as many tokens.
struct SeqLen {
  std::vector<SeqLenPart> parts{SeqLenPart{}};
  SeqLen& operator=(std::int64_t value) {
    parts.assign(1, {{}, value});
    return *this;
  }
  operator std::int64_t() const { return parts.back().value; }  // the longest
  std::int64_t shortest() const;
  friend bool operator==(const SeqLen&, const SeqLen&) = default;
};

}  // namespace rt::config
