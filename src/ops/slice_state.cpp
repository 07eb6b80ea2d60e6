#include "rt/ops/slice_state.h"

#include <utility>

#include "rt/core/device_api.h"
#include "rt/ops/add.h"

namespace rt {
namespace {

// Row `at` of each of B sequences of C channels.
TensorView row_of(const TensorView& x, std::int64_t b, std::int64_t at) {
  const std::int64_t T = x.shape[1], C = x.shape[2];
  return {x.data + static_cast<std::size_t>((b * T + at) * C) * size_of(x.dtype), {C}, x.dtype, x.device};
}
TensorView row_of(const TensorView& rows, std::int64_t b) {
  const std::int64_t C = rows.shape[1];
  return {rows.data + static_cast<std::size_t>(b * C) * size_of(rows.dtype), {C}, rows.dtype, rows.device};
}

void clear(ExecContext& ctx, const TensorView& view) {
  device_api(ctx.device.kind).fill(view.data, 0, view.nbytes(), ctx.stream.native());
}

// One of `all`, without its first dimension.
TensorView part_of(const TensorView& all, std::int64_t i) {
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  for (int d = 1; d < all.shape.rank(); ++d) dims[static_cast<std::size_t>(d - 1)] = all.shape[d];
  return all.slice(0, i, i + 1)
      .reshape(Shape(std::span(dims).first(static_cast<std::size_t>(all.shape.rank() - 1))));
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
  if (dx.mode == GradMode::Overwrite) clear(ctx, dx.view);
  if (slices.rank() + 1 == slices.size()) return;
  const TensorView next = part_of(all, slices.rank() + 1);
  for (std::int64_t b = 0; b < mine.shape[0]; ++b) {
    const TensorView token = row_of(dx.view, b, dx.view.shape[1] - 1);
    add_table().at(ctx.impl).forward(ctx, {token, row_of(next, b)}, {token});
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
  const ArenaScope scope(ctx.scratch);
  TensorView from = ctx.scratch.alloc(out.shape, out.dtype, "slices.state"), to = out;
  const int slices = ctx.slices->rank();
  if (slices == 0) {
    if (!ctx.dry_run) clear(ctx, out);
    return;
  }
  // Whichever makes the last one be `out`.
  if (slices % 2 == 0) std::swap(from, to);
  for (int r = 0; r < slices; ++r) {
    const TensorView maps = part_of(all, r), M = part_of(maps, 0), E = part_of(maps, 1);
    affine_state(ctx, r == 0 ? AffineStateArgs{{}, {}, E} : AffineStateArgs{from, M, E}, to);
    std::swap(from, to);
  }
}

void gradient_after(ExecContext& ctx, const TensorView& all, const TensorView& mine, const TensorView& out) {
  const ArenaScope scope(ctx.scratch);
  const int rank = ctx.slices->rank(), size = ctx.slices->size();
  std::array<std::int64_t, Shape::kMaxRank> dims{size};
  for (int d = 0; d < mine.shape.rank(); ++d) dims[static_cast<std::size_t>(d + 1)] = mine.shape[d];
  const TensorView found =
      ctx.scratch.alloc(Shape(std::span(dims).first(static_cast<std::size_t>(mine.shape.rank() + 1))),
                        mine.dtype, "slices.gradients");
  TensorView from = ctx.scratch.alloc(out.shape, out.dtype, "slices.gradient"), to = out;
  if (!ctx.dry_run) ctx.slices->all_gather(mine, found, ctx.stream);
  const int later = size - 1 - rank;
  if (later == 0) {
    if (!ctx.dry_run) clear(ctx, out);
    return;
  }
  if (later % 2 == 0) std::swap(from, to);
  for (int r = size - 1; r > rank; --r) {
    const TensorView M = part_of(part_of(all, r), 0), own = part_of(found, r);
    affine_state(ctx, r == size - 1 ? AffineStateArgs{{}, {}, own} : AffineStateArgs{from, M, own, true}, to);
    std::swap(from, to);
  }
}

Var token_before(Tape& tape, Var x) {
  ExecContext& ctx = tape.ctx();
  RT_CHECK(ctx.slices, "token_before: a sequence that is whole");
  const TensorView in = tape.value(x);
  const std::int64_t B = in.shape[0], T = in.shape[1], C = in.shape[2];
  const Var before = tape.output({B, C}, in.dtype, "slices.before", {x});
  {
    const ArenaScope scope(ctx.scratch);
    const TensorView mine = ctx.scratch.alloc({B, C}, in.dtype, "slices.last"), out = tape.value(before);
    if (!ctx.dry_run) {
      for (std::int64_t b = 0; b < B; ++b) copy(row_of(mine, b), row_of(in, b, T - 1), ctx.stream);
    }
    const TensorView all = gather_rows(ctx, mine);
    const int rank = ctx.slices->rank();
    if (!ctx.dry_run) rank == 0 ? clear(ctx, out) : copy(out, part_of(all, rank - 1), ctx.stream);
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
