#include "rt/train/share.h"

#include <algorithm>

#include "rt/core/error.h"

namespace rt {
namespace {

template <class T>
void keep_columns(std::vector<T>& cells, std::int64_t rows, std::int64_t width, std::int64_t first,
                  std::int64_t count) {
  if (cells.empty()) return;
  for (std::int64_t r = 0; r < rows; ++r)
    std::copy_n(cells.begin() + r * width + first, count, cells.begin() + r * count);
  cells.resize(static_cast<std::size_t>(rows * count));
}

}  // namespace

Share share_of(const RunConfig& config, int rank, int world) {
  const int slices = static_cast<int>(config.parallel.context);
  return {rank / slices, std::max(1, world / slices), rank % slices, slices};
}

void keep_slice(data::Batch& batch, const Share& share) {
  if (share.slices == 1) return;
  RT_CHECK(batch.T % share.slices == 0, "batch: {} tokens in {} slices", batch.T, share.slices);
  const std::int64_t T = batch.T / share.slices, first = share.slice * T;
  keep_columns(batch.tokens, batch.B, batch.T, first, T);
  keep_columns(batch.targets, batch.B, batch.T, first, T);
  keep_columns(batch.reset, batch.B, batch.T, first, T);
  batch.T = T;
  batch.predictions = static_cast<std::uint64_t>(std::count_if(
      batch.targets.begin(), batch.targets.end(), [](auto t) { return t != data::kIgnoreTarget; }));
}

void CommunicatorSlices::all_gather(const TensorView& mine, const TensorView& all, const Stream& stream) {
  communicator_->wait(communicator_->all_gather(mine, all, stream), stream);
}

}  // namespace rt
