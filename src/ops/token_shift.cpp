#include "rt/ops/token_shift.h"

namespace rt {
namespace {

struct Inputs {
  Var x;
  std::size_t count;
  std::array<Var, kMaxTokenShifts> mix;
  Var shift_state, reset;

  TokenShiftArgs views(const Tape& tape) const {
    TokenShiftArgs a{tape.value(x), count, {}, tape.value_or_empty(shift_state), tape.value_or_empty(reset)};
    for (std::size_t n = 0; n < count; ++n) a.mix[n] = tape.value(mix[n]);
    return a;
  }
  TokenShiftGrads slots(Tape& tape) const {
    TokenShiftGrads g;
    g.x = tape.grad_slot(x);
    for (std::size_t n = 0; n < count; ++n) g.mix[n] = tape.grad_slot(mix[n]);
    g.shift_state = tape.grad_slot(shift_state);
    return g;
  }
};

void check(const TokenShiftArgs& a) {
  RT_CHECK(a.x.shape.rank() == 3 && a.x.numel() > 0, "token_shift: x is {}, not (B, T, C)", a.x.shape);
  const std::int64_t B = a.x.shape[0], T = a.x.shape[1], C = a.x.shape[2];
  for (std::size_t n = 0; n < a.count; ++n) {
    RT_CHECK(a.mix[n].numel() == C, "token_shift: x is {} but mix {} is {}", a.x.shape, n, a.mix[n].shape);
  }
  RT_CHECK(!a.shift_state || (a.shift_state.shape == Shape{B, C} && a.shift_state.dtype == a.x.dtype),
           "token_shift: x is {} {} but shift_state is {} {}", name(a.x.dtype), a.x.shape,
           name(a.shift_state.dtype), a.shift_state.shape);
  RT_CHECK(!a.reset || (a.reset.shape == Shape{B, T} && a.reset.dtype == DType::U8),
           "token_shift: x is {} but reset is {} {}", a.x.shape, name(a.reset.dtype), a.reset.shape);
}

}  // namespace

const OpTable<TokenShiftKernels>& token_shift_table() {
  static constexpr OpTable<TokenShiftKernels> table{
      "token_shift",
      {ref::token_shift_forward, ref::token_shift_backward, ref::token_shift_forward},
      {cpu::token_shift_forward, cpu::token_shift_backward, cpu::token_shift_forward},
      {cuda::token_shift_forward, cuda::token_shift_backward, cuda::token_shift_forward}};
  return table;
}

TokenShiftResult token_shift(Tape& tape, Var x, std::span<const Var> mixes, Var shift_state, Var reset) {
  RT_CHECK(!mixes.empty() && mixes.size() <= kMaxTokenShifts, "token_shift: {} mixes, not 1 to {}",
           mixes.size(), kMaxTokenShifts);
  Inputs in{x, mixes.size(), {}, shift_state, reset};
  std::copy(mixes.begin(), mixes.end(), in.mix.begin());
  const TokenShiftArgs args = in.views(tape);
  check(args);
  ExecContext& ctx = tape.ctx();
  const std::int64_t B = args.x.shape[0], T = args.x.shape[1], C = args.x.shape[2];
  const bool record = tape.needs_grad(mixes) || tape.needs_grad({x, shift_state});
  const bool step = !tape.recording() && T == 1 && shift_state;

  TokenShiftResult result;
  TokenShiftOuts outs;
  for (std::size_t n = 0; n < in.count; ++n) {
    result.y.push_back(tape.output(args.x.shape, args.x.dtype, "token_shift.y", {x, in.mix[n], shift_state}));
    outs.y[n] = tape.value(result.y[n]);
  }
  result.state = step ? tape.adopt(args.shift_state, false)
                      : tape.output({B, C}, args.x.dtype, "token_shift.state", {x});
  outs.state = tape.value(result.state);
  const TokenShiftKernels& kernels = token_shift_table().at(ctx.impl);
  (step ? kernels.step : kernels.forward)(ctx, args, outs);
  if (record) {
    std::array<Var, kMaxTokenShifts> y;
    std::copy(result.y.begin(), result.y.end(), y.begin());
    tape.record("token_shift", [in, y, state = result.state](Tape& t) {
      TokenShiftOutGrads dout;
      for (std::size_t n = 0; n < in.count; ++n) dout.y[n] = t.grad(y[n]);
      dout.state = t.grad(state);
      token_shift_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), in.views(t), TokenShiftOuts{}, dout, in.slots(t));
    });
  }
  return result;
}

}  // namespace rt
