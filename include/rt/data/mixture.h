#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rt::data {

// Which source a sample comes from, and how many of its samples came before: a pure function of the sample's
// number, by table, in O(log phases).
//
// Shares are integers out of a period of at most kPeriod samples (exact where the weights' ratio is one of
// such integers, else rounded to 1/kPeriod; no share is rounded to nothing). Within a phase every source has
// given floor or ceil of its share after any number of samples: sample by sample, of the sources whose next
// one is not too early, the one that is due first (uniprocessor Pfair scheduling; Tijdeman 1980 shows that
// such an assignment exists). When a source reaches its limit a phase ends, and the others share what was its
// part in proportion to their weights. The assignment is part of the order a run resumes in: it never
// changes.
class Mixture {
 public:
  static constexpr std::uint32_t kPeriod = 1u << 16;
  static constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};
  struct Share {
    double weight = 1.0;             // relative, positive
    std::uint64_t limit = kNoLimit;  // samples it gives at most
  };
  struct Pick {
    std::size_t source = 0;
    std::uint64_t index = 0;  // samples of this source before this one
  };

  explicit Mixture(std::span<const Share> shares);  // at least one
  std::uint64_t size() const { return size_; }      // samples until every limit is reached, or kNoLimit
  Pick at(std::uint64_t sample) const;              // sample < size()
  std::vector<std::uint64_t> used(std::uint64_t samples) const;  // per source, of the first so many samples

 private:
  struct Phase {
    std::uint64_t begin = 0;            // its first sample
    std::vector<std::uint64_t> before;  // per source: samples given in earlier phases
    std::vector<std::uint32_t> parts;   // per source: samples in a period; 0 when used up
    std::vector<std::uint32_t> source;  // (period) of each slot
    std::vector<std::uint32_t> rank;    // (period) earlier slots of the same source
  };
  const Phase& phase_of(std::uint64_t sample) const;
  std::uint64_t end_of(const Phase& phase, std::span<const Share> shares) const;
  std::size_t sources_;
  std::vector<Phase> phases_;
  std::uint64_t size_ = 0;
};

}  // namespace rt::data
