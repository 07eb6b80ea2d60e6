#include "rt/ops/wkv7.h"

#include "rt/autograd/tape.h"

namespace rt {
namespace {

void check_inputs(const Tape& tape, std::initializer_list<Var> inputs, Var s0, Var reset, std::int64_t N,
                  DType state_dtype) {
  const TensorView& r = tape.value(*inputs.begin());
  RT_CHECK(r.shape.rank() == 3, "wkv7: r is {}, not (B, T, C)", r.shape);
  const std::int64_t B = r.shape[0], T = r.shape[1], C = r.shape[2];
  RT_CHECK(N >= 16 && N <= 256 && N % 16 == 0 && C % N == 0,
           "wkv7: head size {} for width {}: must be a multiple of 16 from 16 to 256 that divides it", N, C);
  RT_CHECK(T >= 1, "wkv7: r is {}: no tokens", r.shape);
  for (const Var x : inputs) {
    const TensorView& view = tape.value(x);
    RT_CHECK(view.shape == r.shape && view.dtype == r.dtype, "wkv7: r is {} {}, another input {} {}", r.shape,
             name(r.dtype), view.shape, name(view.dtype));
  }
  if (s0) {
    const TensorView& view = tape.value(s0);
    RT_CHECK(view.shape == (Shape{B, C / N, N, N}) && view.dtype == state_dtype,
             "wkv7: s0 is {} {}, expected {} {}", view.shape, name(view.dtype), (Shape{B, C / N, N, N}),
             name(state_dtype));
  }
  if (reset) {
    const TensorView& view = tape.value(reset);
    RT_CHECK(view.shape == (Shape{B, T}) && view.dtype == DType::U8, "wkv7: reset is {} {}, expected {} u8",
             view.shape, name(view.dtype), (Shape{B, T}));
  }
}

}  // namespace

const OpTable<Wkv7Kernels>& wkv7_table() {
  static constexpr OpTable<Wkv7Kernels> table{"wkv7",
                                              {ref::wkv7_forward, ref::wkv7_backward, ref::wkv7_forward},
                                              {cpu::wkv7_forward, cpu::wkv7_backward, cpu::wkv7_step},
                                              {cuda::wkv7_forward, cuda::wkv7_backward, cuda::wkv7_step}};
  return table;
}

Wkv7Result wkv7(Tape& tape, Var r, Var w, Var k, Var v, Var a, Var b, Var s0, Var reset,
                std::int64_t head_size, Wkv7Decay decay) {
  ExecContext& ctx = tape.ctx();
  const DType accum = accum_dtype(ctx);
  const std::int64_t N = head_size;
  check_inputs(tape, {r, w, k, v, a, b}, s0, reset, N, accum);
  const TensorView& in = tape.value(r);
  const std::int64_t B = in.shape[0], T = in.shape[1], H = in.shape[2] / N;
  const auto args = [=](Tape& t) {
    return Wkv7Args{t.value(r), t.value(w), t.value(k),           t.value(v),
                    t.value(a), t.value(b), t.value_or_empty(s0), t.value_or_empty(reset),
                    head_size,  decay};
  };
  const Wkv7Kernels& kernels = wkv7_table().at(ctx.impl);
  if (!tape.recording() && T == 1 && s0) {
    const Var y = tape.output(in.shape, in.dtype, "wkv7.y", {});
    kernels.step(ctx, args(tape), {tape.value(y), tape.value(s0), {}, {}, {}});
    return {y, tape.adopt(tape.value(s0), false)};
  }

  const Shape shape = in.shape;
  const Wkv7Saved saved = wkv7_saved(ctx.impl, in.dtype, N, decay);
  const bool record = tape.needs_grad({r, w, k, v, a, b, s0});
  const Var y = tape.output(shape, in.dtype, "wkv7.y", {r, w, k, v, a, b, s0});
  const Var state = tape.output({B, H, N, N}, accum, "wkv7.state", {r, w, k, v, a, b, s0});
  Var sa, chunk_states, maps;
  const std::int64_t chunks = (T + kWkv7Chunk - 1) / kWkv7Chunk;
  if (record && saved.sa) sa = tape.output(shape, accum, "wkv7.sa", {});
  if (record && saved.states && chunks > 1) {
    chunk_states = tape.output({B, H, chunks - 1, N, N}, saved.dtype, "wkv7.chunk_states", {});
  }
  const std::int64_t segments = wkv7_split(B * H, T).count;
  if (record && saved.maps && segments > 1)
    maps = tape.output({B, H, segments - 1, N, N}, accum, "wkv7.maps", {});
  const auto outs = [=](Tape& t) {
    return Wkv7Outs{t.value(y), t.value(state), t.value_or_empty(sa), t.value_or_empty(chunk_states),
                    t.value_or_empty(maps)};
  };
  kernels.forward(ctx, args(tape), outs(tape));
  if (record) {
    tape.record("wkv7", [=](Tape& t) {
      wkv7_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), args(t), outs(t), {t.grad(y), t.grad(state)},
                    {t.grad_slot(r), t.grad_slot(w), t.grad_slot(k), t.grad_slot(v), t.grad_slot(a),
                     t.grad_slot(b), t.grad_slot(s0)});
    });
  }
  return {y, state};
}

}  // namespace rt
