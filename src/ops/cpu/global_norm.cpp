#include "rt/ops/global_norm.h"

#include <algorithm>
#include <cmath>

#include "ops/cpu/rows.h"

namespace rt::cpu {
namespace {

// Eight running sums: the compiler keeps them in one vector, and the order of additions is fixed.
template <class T>
NormResult block_sum(const T* x, std::int64_t n) {
  constexpr std::int64_t kSums = 8;
  double sums[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (std::int64_t k = 0; k < kSums; ++k) {
      sums[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
    }
  }
  for (std::int64_t k = 0; i < n; ++i, ++k) sums[k] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  NormResult r{0, 0};
  for (const double s : sums) r.sum_squares += s;
  // The square of a finite float is finite in double, that of a double need not be.
  if (!std::isfinite(r.sum_squares)) {
    for (i = 0; i < n; ++i) r.non_finite += std::isfinite(x[i]) ? 0 : 1;
  }
  return r;
}

// `length` elements a slice, `count` blocks of each.
template <class T>
void sum_blocks(const T* x, std::int64_t length, std::int64_t count, std::int64_t slices,
                NormResult* blocks) {
  parallel_for(slices * count, std::max<std::int64_t>(1, kNormBlock / std::max<std::int64_t>(length, 1)),
               [&](std::int64_t first, std::int64_t last) {
                 for (std::int64_t i = first; i < last; ++i) {
                   const std::int64_t begin = i % count * kNormBlock;
                   blocks[i] =
                       block_sum(x + i / count * length + begin, std::min(kNormBlock, length - begin));
                 }
               });
}

}  // namespace

void global_norm(ExecContext& ctx, const GlobalNormArgs& a, const GlobalNormOuts& o) {
  const ArenaScope scope(ctx.scratch);
  const std::int64_t length = a.values.numel() / a.slices, count = (length + kNormBlock - 1) / kNormBlock;
  const auto bytes = static_cast<std::int64_t>(sizeof(NormResult));
  const TensorView partial = ctx.scratch.alloc({a.slices, count, bytes}, DType::U8, "global_norm.blocks");
  if (ctx.dry_run) return;
  auto* blocks = reinterpret_cast<NormResult*>(partial.data);
  if (a.values.dtype == DType::F64) {
    sum_blocks(a.values.as<double>(), length, count, a.slices, blocks);
  } else {
    sum_blocks(a.values.as<float>(), length, count, a.slices, blocks);
  }
  NormTree total;
  for (int s = 0; s < a.slices; ++s) {
    NormResult slice{0, 0};
    for (std::int64_t i = 0; i < count; ++i, ++blocks) {
      slice.sum_squares += blocks->sum_squares;
      slice.non_finite += blocks->non_finite;
    }
    total.push(slice);
  }
  *o.result = total.total();
}

}  // namespace rt::cpu
