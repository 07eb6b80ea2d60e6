#include "ops/cpu/rows.h"

#include <cstring>

namespace rt::cpu {
namespace {
using vd = double __attribute__((vector_size(8 * simd::kLanes)));
}

ColumnSums::ColumnSums(ExecContext& ctx, const RowPlan& plan, std::int64_t count)
    : plan_(plan),
      count_(count),
      partial_(ctx.scratch.alloc({plan.B * plan.blocks, count, plan.C}, DType::F32, "column_sums")) {
  if (!ctx.dry_run) std::memset(partial_.data, 0, partial_.nbytes());
}

void ColumnSums::reduce(std::int64_t which, const GradSlot& slot) const {
  if (!slot) return;
  float* grad = slot.view.as<float>();
  const bool accumulate = slot.mode == GradMode::Accumulate;
  parallel_for(plan_.C, 256, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; c += simd::kLanes) {
      const std::int64_t left = end - c;
      simd::vf total = accumulate ? simd::load_tail(grad + c, left) : simd::vf{};
      for (std::int64_t b = 0; b < plan_.B; ++b) {
        vd sequence{};
        for (std::int64_t k = 0; k < plan_.blocks; ++k) {
          const float* partial = block(b * plan_.blocks + k, which) + c;
          sequence += __builtin_convertvector(simd::load_tail(partial, left), vd);
        }
        total += __builtin_convertvector(sequence, simd::vf);
      }
      simd::store_tail(grad + c, total, left);
    }
  });
}

}  // namespace rt::cpu
