#include "rt/ops/linear_cross_entropy.h"

#include <cmath>
#include <vector>

#include "ops/cpu/gemm.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;
using simd::vf;

// The counted rows of each sequence are cut into blocks of at most kBlockRows; as many blocks as fit in
// kLogits floats are in flight at once. A block's logits lie as one dense matrix per vocabulary tile: rows V
// floats apart would fall into the same cache sets. The gradient of x is summed over groups of tiles, then
// over the groups in order. No size depends on how many sequences there are, but for the number in flight,
// which does not show in the bits.
constexpr std::int64_t kBlockRows = 256, kTileCols = 384, kGroupTiles = 6, kGradCols = 192;
constexpr std::int64_t kLogits = std::int64_t{1} << 24;
constexpr float kPadding = -3e38f;  // finite: a product with zero must stay zero

struct Block {
  std::int64_t sequence, first, rows;  // a range of Head::counted_
};
struct TileStat {
  float max, sum;  // sum of exp(logit - max)
};
struct RowStat {
  float max, scale;  // d logit = exp(logit - max) * scale, but for the target and the largest
  std::int64_t target, top;
  double loss;
};

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

template <class T>
T* scratch_array(ExecContext& ctx, std::int64_t n, std::string_view name) {
  const auto bytes = static_cast<std::int64_t>(sizeof(T));
  return reinterpret_cast<T*>(ctx.scratch.alloc({n, bytes}, DType::U8, name).data);
}

class Head {
 public:
  Head(ExecContext& ctx, const LinearCrossEntropyArgs& a, const LinearCrossEntropyOuts& o);
  void run();

 private:
  void list_counted_rows();
  void gather(std::int64_t f, std::int64_t r) const;
  void logits(std::int64_t f, std::int64_t tile) const;
  void row_statistics(std::int64_t f, std::int64_t r) const;
  void logit_gradients(std::int64_t f, std::int64_t tile) const;
  void input_gradient(std::int64_t f, std::int64_t group) const;
  void weight_gradient(std::int64_t tile, std::int64_t begin, std::int64_t end, std::int64_t flight) const;
  void store_input_gradient(std::int64_t f, std::int64_t r) const;
  void run_flight(std::int64_t flight);

  std::int64_t tile_begin(std::int64_t tile) const { return tile * width_; }
  std::int64_t tile_cols(std::int64_t tile) const { return std::min(width_, V_ - tile * width_); }
  float* tile_data(std::int64_t f, std::int64_t tile) const {
    return logits_ + (f * tiles_ + tile) * rows_ * width_;
  }
  float* x_block(std::int64_t f) const { return x_ + f * rows_ * C_; }
  float* partial(std::int64_t f, std::int64_t group) const {
    return partial_ + (f * groups_ + group) * rows_ * C_;
  }
  const Block& block(std::int64_t f) const { return blocks_[static_cast<std::size_t>(done_ + f)]; }
  std::int64_t source_row(std::int64_t f, std::int64_t r) const {
    return counted_[static_cast<std::size_t>(block(f).first + r)];
  }

  const LinearCrossEntropyArgs& a_;
  const LinearCrossEntropyOuts& o_;
  std::int64_t B_, T_, C_, V_, rows_, tiles_, width_, groups_, in_flight_;
  const float* w_;
  float *x_, *logits_, *partial_ = nullptr;
  TileStat* tile_stats_;  // (in flight, rows, tiles)
  RowStat* row_stats_;    // (in flight, rows)
  std::vector<std::int64_t> counted_;
  std::vector<Block> blocks_;
  std::int64_t done_ = 0;  // blocks before the flight
};

Head::Head(ExecContext& ctx, const LinearCrossEntropyArgs& a, const LinearCrossEntropyOuts& o)
    : a_(a), o_(o), B_(a.x.shape[0]), T_(a.x.shape[1]), C_(a.x.shape[2]), V_(a.weight.shape[0]) {
  rows_ = std::min(T_, kBlockRows);
  width_ = ceil_div(ceil_div(V_, ceil_div(V_, kTileCols)), kLanes) * kLanes;
  tiles_ = ceil_div(V_, width_);
  groups_ = ceil_div(tiles_, kGroupTiles);
  in_flight_ = std::clamp<std::int64_t>(kLogits / (rows_ * tiles_ * width_), 1,
                                        std::max<std::int64_t>(1, B_ * ceil_div(T_, kBlockRows)));
  const auto floats = [&](Shape shape, std::string_view name) {
    return ctx.scratch.alloc(shape, DType::F32, name).as<float>();
  };
  w_ = widened(ctx, a.weight).as<float>();
  x_ = floats({in_flight_, rows_, C_}, "cross_entropy.x");
  logits_ = floats({in_flight_, tiles_, rows_, width_}, "cross_entropy.logits");
  if (o.dx) partial_ = floats({in_flight_, groups_, rows_, C_}, "cross_entropy.dx");
  tile_stats_ = scratch_array<TileStat>(ctx, in_flight_ * rows_ * tiles_, "cross_entropy.tiles");
  row_stats_ = scratch_array<RowStat>(ctx, in_flight_ * rows_, "cross_entropy.rows");
}

void Head::list_counted_rows() {
  const std::int32_t* targets = a_.targets.as<std::int32_t>();
  const std::size_t row_bytes = o_.dx ? o_.dx.nbytes() / static_cast<std::size_t>(B_ * T_) : 0;
  for (std::int64_t b = 0; b < B_; ++b) {
    const auto first = static_cast<std::int64_t>(counted_.size());
    for (std::int64_t i = b * T_; i < (b + 1) * T_; ++i) {
      if (targets[i] < -1 || targets[i] >= V_) {
        fail(Exit::Data, "cross entropy: target {} at sequence {}, position {} is not in [-1, {})",
             targets[i], b, i - b * T_, V_);
      }
      if (targets[i] >= 0) {
        counted_.push_back(i);
      } else if (o_.dx) {
        std::memset(o_.dx.data + static_cast<std::size_t>(i) * row_bytes, 0, row_bytes);
      }
    }
    const std::int64_t n = static_cast<std::int64_t>(counted_.size()) - first;
    const std::int64_t step = n == 0 ? 1 : ceil_div(n, ceil_div(n, kBlockRows));
    for (std::int64_t r = 0; r < n; r += step) blocks_.push_back({b, first + r, std::min(step, n - r)});
  }
}

void Head::gather(std::int64_t f, std::int64_t r) const {
  simd::dispatch_storage(a_.x.dtype, [&]<class T>(T) {
    const T* from = a_.x.as<T>() + source_row(f, r) * C_;
    float* to = x_block(f) + r * C_;
    for (std::int64_t c = 0; c < C_; c += kLanes) {
      simd::store_tail(to + c, load_tail(from + c, C_ - c), C_ - c);
    }
  });
}

void Head::logits(std::int64_t f, std::int64_t tile) const {
  const std::int64_t n = block(f).rows, cols = tile_cols(tile);
  const std::int64_t padded = ceil_div(cols, kLanes) * kLanes;
  float* out = tile_data(f, tile);
  sgemm(false, true, n, cols, C_, 1, x_block(f), C_, w_ + tile_begin(tile) * C_, C_, 0, out, width_);
  for (std::int64_t r = 0; r < n; ++r) {
    float* row = out + r * width_;
    std::fill(row + cols, row + padded, kPadding);
    vf top = simd::splat(kPadding), sum{};
    for (std::int64_t c = 0; c < padded; c += kLanes) top = simd::max(top, simd::load(row + c));
    float max = top[0];
    for (int i = 1; i < kLanes; ++i) max = std::max(max, top[i]);
    for (std::int64_t c = 0; c < padded; c += kLanes) {
      const vf l = simd::load(row + c);
      sum += simd::exp(l - max) + l * 0.0f;  // exp clamps; the product lets NaN and infinity through
    }
    tile_stats_[(f * rows_ + r) * tiles_ + tile] = {max, simd::sum(sum)};
  }
}

void Head::row_statistics(std::int64_t f, std::int64_t r) const {
  const TileStat* stats = tile_stats_ + (f * rows_ + r) * tiles_;
  std::int64_t best = 0;
  for (std::int64_t t = 1; t < tiles_; ++t) {
    if (stats[t].max > stats[best].max) best = t;
  }
  const float max = stats[best].max;
  double sum = 0;
  for (std::int64_t t = 0; t < tiles_; ++t) {
    sum += static_cast<double>(stats[t].sum) * std::exp(static_cast<double>(stats[t].max - max));
  }
  const float* row = tile_data(f, best) + r * width_;
  std::int64_t top = 0;
  while (top + 1 < tile_cols(best) && row[top] != max) ++top;
  const std::int64_t target = a_.targets.as<std::int32_t>()[source_row(f, r)];
  const float hit = tile_data(f, target / width_)[r * width_ + target % width_];
  row_stats_[f * rows_ + r] = {max, static_cast<float>(a_.grad_scale / sum), target, tile_begin(best) + top,
                               std::log(sum) + static_cast<double>(max) - static_cast<double>(hit)};
}

void Head::logit_gradients(std::int64_t f, std::int64_t tile) const {
  const std::int64_t begin = tile_begin(tile), cols = tile_cols(tile);
  for (std::int64_t r = 0; r < block(f).rows; ++r) {
    float* row = tile_data(f, tile) + r * width_;
    const RowStat& stat = row_stats_[f * rows_ + r];
    for (std::int64_t c = 0; c < cols; c += kLanes) {
      simd::store(row + c, simd::exp(simd::load(row + c) - stat.max) * stat.scale);
    }
    const std::int64_t target = stat.target - begin, top = stat.top - begin;
    if (target >= 0 && target < cols) row[target] -= static_cast<float>(a_.grad_scale);
    if (top >= 0 && top < cols) row[top] += static_cast<float>(a_.grad_scale * a_.l2wrap) * stat.max;
  }
}

void Head::input_gradient(std::int64_t f, std::int64_t group) const {
  const std::int64_t first = group * kGroupTiles, end = std::min(tiles_, first + kGroupTiles);
  for (std::int64_t tile = first; tile < end; ++tile) {
    logit_gradients(f, tile);
    if (!o_.dx) continue;
    sgemm(false, false, block(f).rows, C_, tile_cols(tile), 1, tile_data(f, tile), width_,
          w_ + tile_begin(tile) * C_, C_, tile == first ? 0.0f : 1.0f, partial(f, group), C_);
  }
}

// Columns [begin, end) of the rows of one tile, block after block.
void Head::weight_gradient(std::int64_t tile, std::int64_t begin, std::int64_t end,
                           std::int64_t flight) const {
  float* dw = o_.weight.view.as<float>() + tile_begin(tile) * C_ + begin;
  for (std::int64_t f = 0; f < flight; ++f) {
    const bool fresh = done_ + f == 0 && o_.weight.mode == GradMode::Overwrite;
    sgemm(true, false, tile_cols(tile), end - begin, block(f).rows, 1, tile_data(f, tile), width_,
          x_block(f) + begin, C_, fresh ? 0.0f : 1.0f, dw, C_);
  }
}

void Head::store_input_gradient(std::int64_t f, std::int64_t r) const {
  simd::dispatch_storage(o_.dx.dtype, [&]<class T>(T) {
    T* to = o_.dx.as<T>() + source_row(f, r) * C_;
    for (std::int64_t c = 0; c < C_; c += kLanes) {
      vf sum{};
      for (std::int64_t g = 0; g < groups_; ++g) sum += load_tail(partial(f, g) + r * C_ + c, C_ - c);
      simd::store_tail(to + c, sum, C_ - c);
    }
  });
}

void Head::run_flight(std::int64_t flight) {
  // each(n, g) calls g(block in flight, i) for i in [0, n); each_row for the rows the block has. In parallel.
  const auto each = [&](std::int64_t n, const auto& g) {
    parallel_for(flight * n, 1, [&](std::int64_t i, std::int64_t) { g(i / n, i % n); });
  };
  const auto each_row = [&](const auto& g) {
    parallel_for(flight * rows_, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (i % rows_ < block(i / rows_).rows) g(i / rows_, i % rows_);
      }
    });
  };
  each_row([&](std::int64_t f, std::int64_t r) { gather(f, r); });
  each(tiles_, [&](std::int64_t f, std::int64_t tile) { logits(f, tile); });
  each_row([&](std::int64_t f, std::int64_t r) { row_statistics(f, r); });
  if (!o_.dx && !o_.weight) return;
  each(groups_, [&](std::int64_t f, std::int64_t group) { input_gradient(f, group); });
  if (o_.weight) {
    const std::int64_t pieces = ceil_div(C_, kGradCols);
    parallel_for(tiles_ * pieces, 1, [&](std::int64_t i, std::int64_t) {
      const std::int64_t begin = i % pieces * kGradCols;
      weight_gradient(i / pieces, begin, std::min(C_, begin + kGradCols), flight);
    });
  }
  if (o_.dx) each_row([&](std::int64_t f, std::int64_t r) { store_input_gradient(f, r); });
}

void Head::run() {
  list_counted_rows();
  std::vector<double> losses(static_cast<std::size_t>(B_), 0.0);
  if (o_.rows) std::memset(o_.rows.data, 0, o_.rows.nbytes());
  const auto total = static_cast<std::int64_t>(blocks_.size());
  for (std::int64_t flight = 0; done_ < total; done_ += flight) {
    flight = std::min(in_flight_, total - done_);
    run_flight(flight);
    for (std::int64_t f = 0; f < flight; ++f) {
      double& loss = losses[static_cast<std::size_t>(block(f).sequence)];
      for (std::int64_t r = 0; r < block(f).rows; ++r) {
        loss += row_stats_[f * rows_ + r].loss;
        if (o_.rows) o_.rows.as<float>()[source_row(f, r)] = float(row_stats_[f * rows_ + r].loss);
      }
    }
  }
  for (std::int64_t b = 0; b < B_; ++b) o_.loss.as<float>()[b] = float(losses[static_cast<std::size_t>(b)]);
  if (total == 0 && o_.weight.mode == GradMode::Overwrite) {
    std::memset(o_.weight.view.data, 0, o_.weight.view.nbytes());
  }
}

}  // namespace

void linear_cross_entropy_forward(ExecContext& ctx, const LinearCrossEntropyArgs& a,
                                  const LinearCrossEntropyOuts& o) {
  const ArenaScope scope(ctx.scratch);
  Head head(ctx, a, o);
  if (!ctx.dry_run) head.run();
}

void linear_cross_entropy_backward(ExecContext& ctx, const LinearCrossEntropyArgs& a,
                                   const LinearCrossEntropyOuts& o, const LinearCrossEntropyOutGrads& dout,
                                   const LinearCrossEntropyGrads& g) {
  if (ctx.dry_run) return;
  for (std::int64_t b = 0; b < dout.loss.numel(); ++b) {
    RT_CHECK(dout.loss.as<float>()[b] == 1, "cross entropy: its loss was seeded with {}, not 1",
             dout.loss.as<float>()[b]);
  }
  if (!g.x) return;
  simd::dispatch_storage(g.x.view.dtype, [&]<class T>(T) {
    for_each_row_block(RowPlan(a.x.shape), [&](std::int64_t, std::int64_t first, std::int64_t end) {
      const T* from = o.dx.as<T>();
      for (std::int64_t i = first * a.x.shape[2], n = end * a.x.shape[2]; i < n; i += kLanes) {
        put(g.x.view.as<T>() + i, load_tail(from + i, n - i), n - i, g.x.mode == GradMode::Accumulate);
      }
    });
  });
}

}  // namespace rt::cpu
