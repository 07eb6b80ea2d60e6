#include "rt/train/carried_state.h"

#include <cstring>

#include "rt/core/device_reader.h"
#include "rt/core/error.h"
#include "rt/core/host.h"

namespace rt {
CarriedState::CarriedState(ExecContext& ctx, const LanguageModel& model, DType compute,
                           std::int64_t sequences, std::int64_t micro_sequences, const Share& share)
    : ctx_(ctx),
      layout_(model.state_fields(micro_sequences)),
      compute_(compute),
      micro_batches_(sequences / micro_sequences),
      rows_(micro_sequences),
      share_(share) {
  if (share_.all < 0) share_.all = micro_batches_;
  RT_CHECK(sequences % micro_sequences == 0, "carried state: {} sequences in micro-batches of {}", sequences,
           micro_sequences);
  std::size_t bytes = 0;
  for (const StateField& field : layout_)
    bytes +=
        padded_bytes(static_cast<std::size_t>(field.shape.numel()) * size_of(field.dtype(ctx.impl, compute)));
  const Shape shape{micro_batches_, static_cast<std::int64_t>(bytes)};
  now_ = lasting(ctx, shape, DType::U8);
  next_ = lasting(ctx, shape, DType::U8);
}

std::vector<TensorView> CarriedState::in_block(const TensorView& block) const {
  std::vector<TensorView> views;
  std::byte* at = block.data;
  for (const StateField& field : layout_) {
    views.emplace_back(at, field.shape, field.dtype(ctx_.impl, compute_), block.device);
    at += padded_bytes(views.back().nbytes());
  }
  return views;
}

TensorView CarriedState::block_of(const TensorView& blocks, int micro) const {
  RT_CHECK(micro >= 0 && micro < micro_batches_, "carried state: micro-batch {} of {}", micro,
           micro_batches_);
  return blocks.slice(0, micro, micro + 1);
}

CarriedState::Staged CarriedState::stage(int micro, bool continues) {
  const TensorView from = block_of(now_.view, micro);
  Staged staged;
  staged.block = ctx_.saved.alloc(from.shape, DType::U8, "recurrent state");
  staged.block_after = ctx_.saved.alloc(from.shape, DType::U8, "recurrent state");
  staged.before = in_block(staged.block);
  staged.after = in_block(staged.block_after);
  if (ctx_.dry_run) return staged;
  if (continues) {
    copy(staged.block, from, ctx_.stream);
  } else {
    clear(staged.block, ctx_.stream);
  }
  return staged;
}

void CarriedState::put(int micro, const Staged& staged) {
  if (!ctx_.dry_run) copy(block_of(next_.view, micro), staged.block_after, ctx_.stream);
}

void CarriedState::keep(const StepReport* report) { keep_step(ctx_, {report, next_.view, now_.view}); }

std::vector<CarriedState::Field> CarriedState::fields() const {
  std::vector<Field> all;
  for (const StateField& field : layout_) {
    Shape shape = field.shape;
    shape[0] = rows_ * micro_batches_;
    Shape everyones = shape;
    everyones[0] = rows_ * share_.all;
    all.push_back({field.name, Tensor(shape, field.dtype(ctx_.impl, compute_)), everyones});
  }
  return all;
}

void CarriedState::for_each_part(
    const std::vector<Field>& fields, const TensorView& blocks,
    const std::function<void(const TensorView& part, const TensorView& place)>& visit) const {
  for (int micro = 0; micro < micro_batches_; ++micro) {
    const std::vector<TensorView> places = in_block(block_of(blocks, micro));
    for (std::size_t f = 0; f < places.size(); ++f)
      visit(fields[f].value.view.slice(0, micro * rows_, (micro + 1) * rows_), places[f]);
  }
}

std::vector<CarriedState::Field> CarriedState::read() const {
  const Tensor blocks(now_.view.shape, now_.view.dtype);
  DeviceReader().read(now_.view, [&](std::size_t at, std::span<const std::byte> piece) {
    std::memcpy(blocks.view.data + at, piece.data(), piece.size());
  });
  std::vector<Field> all = fields();
  for_each_part(all, blocks.view, [](const TensorView& part, const TensorView& place) { copy(part, place); });
  return all;
}

void CarriedState::visit_parts(const std::vector<Field>& fields, const VisitPart& visit) const {
  for (const Field& field : fields) {
    const std::int64_t n = field.value.view.numel() / micro_batches_;  // of a micro-batch
    const TensorView flat = field.value.view.reshape({field.value.view.numel()});
    for (std::int64_t i = 0; i < micro_batches_; ++i) {
      const std::int64_t micro = share_.rank + i * share_.ranks;
      if (micro < share_.all) visit(field.name, micro * n, flat.slice(0, i * n, (i + 1) * n));
    }
  }
}

void CarriedState::write(const VisitPart& fill) {
  const HostTensor blocks(now_.view);
  const std::vector<Field> all = fields();
  visit_parts(all, fill);
  for_each_part(all, blocks.view(),
                [](const TensorView& part, const TensorView& place) { copy(place, part); });
  blocks.write_back();
}

std::size_t CarriedState::file_bytes() const {
  std::size_t bytes = 0;
  for (const StateField& field : layout_)
    bytes += static_cast<std::size_t>(field.shape.numel()) * size_of(field.dtype(ctx_.impl, compute_));
  return bytes * static_cast<std::size_t>(share_.all);
}

}  // namespace rt
