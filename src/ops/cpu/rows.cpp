#include "ops/cpu/rows.h"

#include <cstring>

namespace rt::cpu {

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
    for (std::int64_t c = begin; c < end; ++c) {
      float total = accumulate ? grad[c] : 0.0f;
      for (std::int64_t b = 0; b < plan_.B; ++b) {
        double sequence = 0;
        for (std::int64_t k = 0; k < plan_.blocks; ++k) {
          sequence += static_cast<double>(block(b * plan_.blocks + k, which)[c]);
        }
        total += static_cast<float>(sequence);
      }
      grad[c] = total;
    }
  });
}

}  // namespace rt::cpu
