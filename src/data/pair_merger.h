#pragma once
#include <cstdint>
#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

namespace rt::data {

// The counting part of BPE training: words as lists of ids with how often each was seen, and the pairs of
// neighbours in them, kept up to date from merge to merge.
class PairMerger {
 public:
  using Pair = std::pair<std::int32_t, std::int32_t>;
  void add_word(std::vector<std::int32_t> ids, std::uint64_t count);
  // The pair seen most, of equals the lowest, and that at least `min_count` times; false when there is none.
  bool best(std::uint64_t min_count, Pair& pair);
  // Writes `result` for each `pair`, from left to right.
  void merge(Pair pair, std::int32_t result);

 private:
  struct Word {
    std::vector<std::int32_t> ids;
    std::int64_t count;
  };
  struct Seen {
    std::int64_t count = 0;
    std::vector<std::uint32_t> words;  // may hold words that have lost the pair
  };
  struct Candidate {
    std::int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };
  static std::uint64_t key(Pair pair) {
    return std::uint64_t{static_cast<std::uint32_t>(pair.first)} << 32 |
           static_cast<std::uint32_t>(pair.second);
  }
  void change(Pair pair, std::int64_t by, std::uint32_t word);

  std::vector<Word> words_;
  std::unordered_map<std::uint64_t, Seen> pairs_;
  std::priority_queue<Candidate> queue_;  // counts here are not below the true ones
  std::vector<Pair> grown_;               // since the last merge
};

}  // namespace rt::data
