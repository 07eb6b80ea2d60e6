#include "rt/ops/value_residual.h"

#include "ops/cpu/rows.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;
using simd::vf;

constexpr std::int64_t kPiece = std::int64_t{1} << 14;  // elements per task

template <class T>
void put_if(const GradSlot& slot, std::int64_t i, vf v, std::int64_t left) {
  if (slot) put(slot.view.as<T>() + i, v, left, slot.mode == GradMode::Accumulate);
}

}  // namespace

void value_residual_forward(ExecContext& ctx, const ValueResidualArgs& a, const ValueResidualOuts& o) {
  if (ctx.dry_run) return;
  simd::dispatch_storage(a.v.dtype, [&]<class T>(T) {
    const T *v = a.v.as<T>(), *first = a.v_first.as<T>(), *gate = a.gate.as<T>();
    T* y = o.y.as<T>();
    parallel_for(a.v.numel(), kPiece, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; i += kLanes) {
        const vf here = load_tail(v + i, end - i);
        const vf shift = load_tail(first + i, end - i) - here;
        simd::store_tail(y + i, here + shift * load_tail(gate + i, end - i), end - i);
      }
    });
  });
}

void value_residual_backward(ExecContext& ctx, const ValueResidualArgs& a, const ValueResidualOuts&,
                             const ValueResidualOutGrads& dout, const ValueResidualGrads& g) {
  if (ctx.dry_run) return;
  simd::dispatch_storage(a.v.dtype, [&]<class T>(T) {
    const T *v = a.v.as<T>(), *first = a.v_first.as<T>(), *gate = a.gate.as<T>(), *dy = dout.y.as<T>();
    parallel_for(a.v.numel(), kPiece, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; i += kLanes) {
        const std::int64_t left = end - i;
        const vf d = load_tail(dy + i, left), to_first = d * load_tail(gate + i, left);
        put_if<T>(g.v, i, d - to_first, left);
        put_if<T>(g.v_first, i, to_first, left);
        put_if<T>(g.gate, i, d * (load_tail(first + i, left) - load_tail(v + i, left)), left);
      }
    });
  });
}

}  // namespace rt::cpu
