#include "rt/ops/wkv7.h"

#include "rt/autograd/tape.h"
#include "rt/ops/slice_state.h"

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

namespace {

struct Call {
  Var r, w, k, v, a, b, s0, reset;
  std::int64_t head_size;
  Wkv7Decay decay;

  Wkv7Args args(Tape& t) const {
    return {t.value(r), t.value(w), t.value(k),           t.value(v),
            t.value(a), t.value(b), t.value_or_empty(s0), t.value_or_empty(reset),
            head_size,  decay};
  }
  Wkv7Grads slots(Tape& t) const {
    return {t.grad_slot(r), t.grad_slot(w), t.grad_slot(k), t.grad_slot(v),
            t.grad_slot(a), t.grad_slot(b), t.grad_slot(s0)};
  }
  bool needs_grad(const Tape& t) const { return t.needs_grad({r, w, k, v, a, b, s0}); }
  Shape state_shape(const Tape& t) const {
    const Shape in = t.value(r).shape;
    return {in[0], in[2] / head_size, head_size, head_size};
  }
};

// What the forward pass makes, and keeps if it is recorded.
struct Made {
  Var y, state, sa, chunk_states, maps;

  Made(Tape& tape, const Call& c) {
    const TensorView in = tape.value(c.r);
    const Impl impl = tape.ctx().impl;
    const DType accum = accum_dtype(impl);
    const std::int64_t B = in.shape[0], T = in.shape[1], N = c.head_size, H = in.shape[2] / N;
    const Wkv7Saved saved = wkv7_saved(impl, in.dtype, N, c.decay);
    const bool record = c.needs_grad(tape);
    y = tape.output(in.shape, in.dtype, "wkv7.y", {c.r, c.w, c.k, c.v, c.a, c.b, c.s0});
    state = tape.output({B, H, N, N}, accum, "wkv7.state", {c.r, c.w, c.k, c.v, c.a, c.b, c.s0});
    const std::int64_t chunks = (T + kWkv7Chunk - 1) / kWkv7Chunk, segments = wkv7_split(B * H, T).count;
    if (record && saved.sa) sa = tape.output(in.shape, accum, "wkv7.sa", {});
    if (record && saved.states && chunks > 1)
      chunk_states = tape.output({B, H, chunks - 1, N, N}, saved.dtype, "wkv7.chunk_states", {});
    if (record && saved.maps && segments > 1)
      maps = tape.output({B, H, segments - 1, N, N}, accum, "wkv7.maps", {});
  }
  Wkv7Outs views(Tape& t) const {
    return {t.value(y), t.value(state), t.value_or_empty(sa), t.value_or_empty(chunk_states),
            t.value_or_empty(maps)};
  }
};

const Wkv7Kernels& kernels_of(Tape& tape) { return wkv7_table().at(tape.ctx().impl); }

Wkv7Result whole(Tape& tape, const Call& call) {
  const Made made(tape, call);
  kernels_of(tape).forward(tape.ctx(), call.args(tape), made.views(tape));
  if (call.needs_grad(tape)) {
    tape.record("wkv7", [=](Tape& t) {
      kernels_of(t).backward(t.ctx(), call.args(t), made.views(t), {t.grad(made.y), t.grad(made.state)},
                             call.slots(t));
    });
  }
  return {made.y, made.state};
}

// What the slice does to a state, into maps (2, B, H, N, N): from the identity without values, from zero with
// them.
void find_maps(Tape& tape, const Call& call, const TensorView& maps) {
  ExecContext& ctx = tape.ctx();
  const ArenaScope scope(ctx.scratch);
  Wkv7Args args = call.args(tape);
  args.s0 = {};
  const Shape state = call.state_shape(tape);
  const TensorView y = ctx.scratch.alloc(args.v.shape, args.v.dtype, "wkv7.slice_y");
  kernels_of(tape).forward(ctx, args, {y, maps.slice(0, 1, 2).reshape(state), {}, {}, {}});
  args.v = ctx.scratch.alloc(args.v.shape, args.v.dtype, "wkv7.no_values");
  args.s0 = ctx.scratch.alloc(state, accum_dtype(ctx), "wkv7.identity");
  if (!ctx.dry_run) clear(args.v, ctx.stream);
  affine_state(ctx, {}, args.s0);
  kernels_of(tape).forward(ctx, args, {y, maps.slice(0, 0, 1).reshape(state), {}, {}, {}});
}

// The sequence goes on from another process' slice, and on in another's: rt/ops/slice_state.h. Takes two more
// forward passes and one more backward pass than a whole one.
Wkv7Result sliced(Tape& tape, Call call) {
  ExecContext& ctx = tape.ctx();
  RT_CHECK(!call.s0, "wkv7: a slice of a sequence that begins from a state");
  const Shape state = call.state_shape(tape);
  const DType accum = accum_dtype(ctx);
  const bool record = call.needs_grad(tape);
  const Var all = tape.output({ctx.slices->size(), 2, state[0], state[1], state[2], state[3]}, accum,
                              "wkv7.slice_maps", {});
  call.s0 = tape.output(state, accum, "wkv7.slice_start", {});
  {
    const ArenaScope scope(ctx.scratch);
    const TensorView own =
        ctx.scratch.alloc({2, state[0], state[1], state[2], state[3]}, accum, "wkv7.slice_maps");
    find_maps(tape, call, own);
    gather_maps(ctx, own, tape.value(all));
    state_before(ctx, tape.value(all), tape.value(call.s0));
  }
  const Made made(tape, call);
  kernels_of(tape).forward(ctx, call.args(tape), made.views(tape));
  if (!record) return {made.y, made.state};
  tape.record("wkv7", [=](Tape& t) {
    ExecContext& context = t.ctx();
    const ArenaScope scope(context.scratch);
    RT_CHECK(!t.grad(made.state),
             "wkv7: the gradient of a slice's last state comes from the slices after it");
    const TensorView begin = context.scratch.alloc(state, accum, "wkv7.slice_gradient"),
                     end = context.scratch.alloc(state, accum, "wkv7.slice_gradient");
    Wkv7Grads of_begin{};
    of_begin.s0 = {begin, GradMode::Overwrite};
    kernels_of(t).backward(context, call.args(t), made.views(t), {t.grad(made.y), {}}, of_begin);
    gradient_after(context, t.value(all), begin, end);
    kernels_of(t).backward(context, call.args(t), made.views(t), {t.grad(made.y), end}, call.slots(t));
  });
  return {made.y, made.state};
}

}  // namespace

Wkv7Result wkv7(Tape& tape, Var r, Var w, Var k, Var v, Var a, Var b, Var s0, Var reset,
                std::int64_t head_size, Wkv7Decay decay) {
  ExecContext& ctx = tape.ctx();
  check_inputs(tape, {r, w, k, v, a, b}, s0, reset, head_size, accum_dtype(ctx));
  const Call call{r, w, k, v, a, b, s0, reset, head_size, decay};
  if (ctx.slices) return sliced(tape, call);
  const TensorView in = tape.value(r);
  if (tape.recording() || in.shape[1] != 1 || !s0) return whole(tape, call);
  const Var y = tape.output(in.shape, in.dtype, "wkv7.y", {});
  kernels_of(tape).step(ctx, call.args(tape), {tape.value(y), tape.value(s0), {}, {}, {}});
  return {y, tape.adopt(tape.value(s0), false)};
}

}  // namespace rt
