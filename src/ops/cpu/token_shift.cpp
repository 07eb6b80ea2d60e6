#include "rt/ops/token_shift.h"

#include <cstring>

#include "ops/cpu/rows.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;
using simd::store_tail;
using simd::vf;

bool is_reset(const TokenShiftArgs& a, std::int64_t row) {
  return a.reset && a.reset.as<std::uint8_t>()[row] != 0;
}

// The previous token as `row` sees it; null reads as zero.
template <class T>
const T* previous(const TokenShiftArgs& a, const RowPlan& plan, std::int64_t row) {
  if (is_reset(a, row)) return nullptr;
  if (row % plan.T > 0) return a.x.as<T>() + (row - 1) * plan.C;
  return a.shift_state ? a.shift_state.as<T>() + row / plan.T * plan.C : nullptr;
}

template <class T>
void forward_row(const TokenShiftArgs& a, const TokenShiftOuts& o, const RowPlan& plan, std::int64_t row) {
  const std::int64_t C = plan.C;
  const T *x = a.x.as<T>() + row * C, *prev = previous<T>(a, plan, row);
  std::array<const T*, kMaxTokenShifts> mix;
  std::array<T*, kMaxTokenShifts> y;
  for (std::size_t n = 0; n < a.count; ++n) {
    mix[n] = a.mix[n].as<T>();
    y[n] = o.y[n].as<T>() + row * C;
  }
  for (std::int64_t c = 0; c < C; c += kLanes) {
    const std::int64_t left = C - c;
    const vf here = load_tail(x + c, left);
    const vf shift = (prev ? load_tail(prev + c, left) : vf{}) - here;
    for (std::size_t n = 0; n < a.count; ++n) {
      store_tail(y[n] + c, here + shift * load_tail(mix[n] + c, left), left);
    }
  }
  // After the row: in the step form this is the memory prev was read from.
  if (row % plan.T == plan.T - 1) {
    std::memcpy(o.state.as<T>() + row / plan.T * C, x, static_cast<std::size_t>(C) * sizeof(T));
  }
}

// The mixes whose output got a gradient, as rows of pointers.
template <class T>
struct Active {
  std::size_t count = 0;
  std::array<const T*, kMaxTokenShifts> dy, mix;
  std::array<float*, kMaxTokenShifts> dmix;  // null when skipped

  Active(const TokenShiftArgs& a, const TokenShiftOutGrads& dout, const TokenShiftGrads& g,
         const ColumnSums& sums, std::int64_t block) {
    for (std::size_t n = 0; n < a.count; ++n) {
      if (!dout.y[n]) continue;
      dy[count] = dout.y[n].as<T>();
      mix[count] = a.mix[n].as<T>();
      dmix[count] = g.mix[n] ? sums.block(block, static_cast<std::int64_t>(n)) : nullptr;
      ++count;
    }
  }
};

// carry (C): what reaches the last row of a block from behind it: through `next`, the row after it, or
// through the state when the sequence ends. It comes zeroed.
template <class T>
void start_carry(const TokenShiftArgs& a, const TokenShiftOutGrads& dout, const Active<T>& active,
                 const RowPlan& plan, std::int64_t next, float* carry) {
  const std::int64_t C = plan.C;
  const bool last = next % plan.T == 0;
  if (last ? !dout.state : is_reset(a, next)) return;
  const T* dstate = last ? dout.state.as<T>() + (next / plan.T - 1) * C : nullptr;
  for (std::int64_t c = 0; c < C; c += kLanes) {
    const std::int64_t left = C - c;
    vf passed{};
    if (last) {
      passed = load_tail(dstate + c, left);
    } else {
      for (std::size_t n = 0; n < active.count; ++n) {
        passed += load_tail(active.dy[n] + next * C + c, left) * load_tail(active.mix[n] + c, left);
      }
    }
    store_tail(carry + c, passed, left);
  }
}

// Leaves in carry what this row hands to the previous token.
template <class T>
void backward_row(const TokenShiftArgs& a, const Active<T>& active, const RowPlan& plan, std::int64_t row,
                  const GradSlot& dx, float* carry) {
  const std::int64_t C = plan.C;
  const T *x = a.x.as<T>() + row * C, *prev = previous<T>(a, plan, row);
  T* dx_row = dx ? dx.view.as<T>() + row * C : nullptr;
  for (std::int64_t c = 0; c < C; c += kLanes) {
    const std::int64_t left = C - c;
    const vf shift = (prev ? load_tail(prev + c, left) : vf{}) - load_tail(x + c, left);
    vf passed{}, kept = load_tail(carry + c, left);
    for (std::size_t n = 0; n < active.count; ++n) {
      const vf dy = load_tail(active.dy[n] + row * C + c, left);
      const vf part = dy * load_tail(active.mix[n] + c, left);
      passed += part;
      kept += dy - part;
      if (float* dmix = active.dmix[n]) store_tail(dmix + c, load_tail(dmix + c, left) + dy * shift, left);
    }
    if (dx) put(dx_row + c, kept, left, dx.mode == GradMode::Accumulate);
    store_tail(carry + c, prev ? passed : vf{}, left);
  }
}

template <class T>
void put_state(const GradSlot& slot, std::int64_t b, std::int64_t C, const float* carry) {
  T* to = slot.view.as<T>() + b * C;
  for (std::int64_t c = 0; c < C; c += kLanes) {
    put(to + c, load_tail(carry + c, C - c), C - c, slot.mode == GradMode::Accumulate);
  }
}

}  // namespace

void token_shift_forward(ExecContext& ctx, const TokenShiftArgs& a, const TokenShiftOuts& o) {
  if (ctx.dry_run) return;
  const RowPlan plan(a.x.shape);
  simd::dispatch_storage(a.x.dtype, [&]<class T>(T) {
    for_each_row_block(plan, [&](std::int64_t, std::int64_t first, std::int64_t end) {
      for (std::int64_t row = first; row < end; ++row) forward_row<T>(a, o, plan, row);
    });
  });
}

// Rows of a block backwards in time, so that one buffer of C carries the gradient from t + 1 to t.
void token_shift_backward(ExecContext& ctx, const TokenShiftArgs& a, const TokenShiftOuts&,
                          const TokenShiftOutGrads& dout, const TokenShiftGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowPlan plan(a.x.shape);
  const auto count = static_cast<std::int64_t>(a.count);
  const ColumnSums sums(ctx, plan, count + 1);  // the last one is the carry
  if (ctx.dry_run) return;
  simd::dispatch_storage(a.x.dtype, [&]<class T>(T) {
    for_each_row_block(plan, [&](std::int64_t block, std::int64_t first, std::int64_t end) {
      const Active<T> active(a, dout, g, sums, block);
      float* carry = sums.block(block, count);
      start_carry(a, dout, active, plan, end, carry);
      for (std::int64_t row = end; row-- > first;) backward_row(a, active, plan, row, g.x, carry);
      if (first % plan.T == 0 && g.shift_state) put_state<T>(g.shift_state, first / plan.T, plan.C, carry);
    });
  });
  for (std::size_t n = 0; n < a.count; ++n) sums.reduce(static_cast<std::int64_t>(n), g.mix[n]);
}

}  // namespace rt::cpu
