#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

// Lists that follow one another, by their running totals: list i is [totals[i], totals[i + 1]).
namespace rt::data {

// The list that `at` is in; `at` must be below the last total.
inline std::size_t part_at(const std::vector<std::uint64_t>& totals, std::uint64_t at) {
  const auto after = std::upper_bound(totals.begin(), totals.end() - 1, at);
  return static_cast<std::size_t>(after - totals.begin()) - 1;
}

// Calls visit(i, first, count) for the stretch of each list that [offset, offset + n) has, `first` counted
// from the list's beginning.
template <class F>
void for_each_part(const std::vector<std::uint64_t>& totals, std::uint64_t offset, std::size_t n, F&& visit) {
  if (n == 0) return;
  for (std::size_t i = part_at(totals, offset); n > 0; ++i) {
    const auto here = static_cast<std::size_t>(std::min<std::uint64_t>(n, totals[i + 1] - offset));
    visit(i, offset - totals[i], here);
    offset += here;
    n -= here;
  }
}

}  // namespace rt::data
