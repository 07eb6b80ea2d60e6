#include "rt/ops/slice_state.h"

#include <utility>

#include "rt/ops/add.h"

namespace rt {
namespace {

// One of `all`, without its first dimension.
TensorView part_of(const TensorView& all, std::int64_t i) {
  return all.slice(0, i, i + 1).reshape(Shape(std::span(all.shape.begin() + 1, all.shape.end())));
}
TensorView last_token(const TensorView& x, std::int64_t b) { return part_of(part_of(x, b), x.shape[1] - 1); }

// Into `out`, what `steps` slices after each other make of no state; next(i, state): the step from it.
template <class Next>
void follow(ExecContext& ctx, int steps, const TensorView& out, const Next& next) {
  const ArenaScope scope(ctx.scratch);
  TensorView from = ctx.scratch.alloc(out.shape, out.dtype, "slices.state"), to = out;
  if (steps == 0 && !ctx.dry_run) clear(out, ctx.stream);
  if (steps % 2 == 0) std::swap(from, to);  // so that the last one is in `out`
  for (int i = 0; i < steps; ++i) {
    affine_state(ctx, next(i, i == 0 ? TensorView() : from), to);
    std::swap(from, to);
  }
}

// Every rank's rows (B, C), by rank.
TensorView gather_rows(ExecContext& ctx, const TensorView& mine) {
  TimeSlices& slices = *ctx.slices;
  const TensorView all =
      ctx.scratch.alloc({slices.size(), mine.shape[0], mine.shape[1]}, mine.dtype, "slices.rows");
  if (!ctx.dry_run) slices.all_gather(mine, all, ctx.stream);
  return all;
}

// The gradient of what the slice after this one read of this one's last token, added to that token's.
void add_gradient_of_next(ExecContext& ctx, const TensorView& mine, const GradSlot& dx) {
  const ArenaScope scope(ctx.scratch);
  const TimeSlices& slices = *ctx.slices;
  const TensorView all = gather_rows(ctx, mine);
  if (ctx.dry_run) return;
  if (dx.mode == GradMode::Overwrite) clear(dx.view, ctx.stream);
  if (slices.rank() + 1 == slices.size()) return;
  const TensorView next = part_of(all, slices.rank() + 1);
  for (std::int64_t b = 0; b < mine.shape[0]; ++b) {
    const TensorView token = last_token(dx.view, b);
    add_table().at(ctx.impl).forward(ctx, {token, part_of(next, b)}, {token});
  }
}

}  // namespace

const OpTable<AffineStateKernels>& affine_state_table() {
  static constexpr OpTable<AffineStateKernels> table{
      "affine_state", {ref::affine_state}, {cpu::affine_state}, {cuda::affine_state}};
  return table;
}

void affine_state(ExecContext& ctx, const AffineStateArgs& a, const TensorView& out) {
  RT_CHECK(out.shape.rank() >= 2 && out.shape.back() == out.shape[out.shape.rank() - 2] &&
               out.dtype == accum_dtype(ctx) && out.is_contiguous() &&
               static_cast<bool>(a.state) == static_cast<bool>(a.map),
           "affine_state: into {} {}", out.shape, name(out.dtype));
  for (const TensorView& view : {a.state, a.map, a.shift}) {
    RT_CHECK(!view || (view.shape == out.shape && view.dtype == out.dtype && view.is_contiguous()),
             "affine_state: {} {} into {} {}", view.shape, name(view.dtype), out.shape, name(out.dtype));
  }
  affine_state_table().at(ctx.impl).forward(ctx, a, {out});
}

void gather_maps(ExecContext& ctx, const TensorView& maps, const TensorView& all) {
  if (!ctx.dry_run) ctx.slices->all_gather(maps, all, ctx.stream);
}

void state_before(ExecContext& ctx, const TensorView& all, const TensorView& out) {
  follow(ctx, ctx.slices->rank(), out, [&](int r, const TensorView& state) {
    const TensorView maps = part_of(all, r);
    return AffineStateArgs{state, state ? part_of(maps, 0) : TensorView(), part_of(maps, 1)};
  });
}

void gradient_after(ExecContext& ctx, const TensorView& all, const TensorView& mine, const TensorView& out) {
  const ArenaScope scope(ctx.scratch);
  const int last = ctx.slices->size() - 1;
  const Shape& one = mine.shape;
  const TensorView found =
      ctx.scratch.alloc({last + 1, one[0], one[1], one[2], one[3]}, mine.dtype, "slices.gradients");
  if (!ctx.dry_run) ctx.slices->all_gather(mine, found, ctx.stream);
  follow(ctx, last - ctx.slices->rank(), out, [&](int i, const TensorView& state) {
    const TensorView M = part_of(part_of(all, last - i), 0);
    return AffineStateArgs{state, state ? M : TensorView(), part_of(found, last - i), true};
  });
}

Var token_before(Tape& tape, Var x) {
  ExecContext& ctx = tape.ctx();
  RT_CHECK(ctx.slices, "token_before: a sequence that is whole");
  const TensorView in = tape.value(x);
  const std::int64_t B = in.shape[0], C = in.shape[2];
  const Var before = tape.output({B, C}, in.dtype, "slices.before", {x});
  {
    const ArenaScope scope(ctx.scratch);
    const TensorView mine = ctx.scratch.alloc({B, C}, in.dtype, "slices.last"), out = tape.value(before);
    if (!ctx.dry_run) {
      for (std::int64_t b = 0; b < B; ++b) copy(part_of(mine, b), last_token(in, b), ctx.stream);
    }
    const TensorView all = gather_rows(ctx, mine);
    const int rank = ctx.slices->rank();
    if (!ctx.dry_run) rank == 0 ? clear(out, ctx.stream) : copy(out, part_of(all, rank - 1), ctx.stream);
  }
  if (!tape.needs_grad({x})) return before;
  tape.record("token_before", [=](Tape& t) {
    const TensorView mine = t.grad(before);
    RT_CHECK(mine, "token_before: nothing reads it, so that others would wait for its gradient");
    add_gradient_of_next(t.ctx(), mine, t.grad_slot(x));
  });
  return before;
}

Var shift_state_of(Tape& tape, Var x, Var given) {
  return given || !tape.ctx().slices ? given : token_before(tape, x);
}

}  // namespace rt
