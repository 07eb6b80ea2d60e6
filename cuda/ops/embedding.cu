#include "rt/ops/embedding.h"

#include <bit>

#include "cuda/ops/piece.cuh"
#include "cuda/ops/token_sort.cuh"
#include "rt/core/arena.h"

// The host does not look at tokens that lie on the device. A token outside [0, V), an error on the CPU, gives
// a row of NaN here, which the loss then shows, and no gradient; memory outside of weight is never touched.
namespace rt::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32, kPiece = 8;
// A token's rows are added by one warp per kPiece * 32 columns when there are at most kShortRun of them, by a
// block per kLongColumns columns that reads kLongRows rows at a time when there are more.
constexpr int kShortRun = 32, kLongColumns = 64, kLongRows = 128, kLongPiece = 4;

// A warp copies the row of every gridDim.x * kWarps-th token.
template <class T, bool Aligned>
__global__ void __launch_bounds__(kThreads)
    embedding_forward_kernel(const std::int32_t* tokens, const T* weight, std::int64_t n, std::int64_t V,
                             std::int64_t C, T* y) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kWarps;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; i < n; i += step) {
    const std::int64_t token = tokens[i];
    const bool known = token >= 0 && token < V;
#pragma unroll 4
    for (std::int64_t c = threadIdx.x % 32 * kPiece; c < C; c += 32 * kPiece) {
      Piece<T, kPiece, Aligned> row;
      float v[kPiece];
      row.load(weight + (known ? token : 0) * C + c, known ? C - c : 0);
      row.get(v);
#pragma unroll
      for (int j = 0; j < kPiece; ++j) {
        if (!known) v[j] = NAN;
      }
      store_piece<Aligned>(y + i * C + c, C - c, v);
    }
  }
}

template <class T>
struct BackwardArgs {
  const T* dy;
  const SortItem* sorted;  // (n)
  const unsigned* start;   // (V + 1)
  Target<float> dweight;
  std::int64_t n, V, C;
};

// A warp per token and kPiece * 32 columns. Writes the rows of all tokens without a long run: zeros for one
// that does not occur, unless that is to be added.
template <class T, bool Aligned>
__global__ void __launch_bounds__(kThreads, 4) embedding_short_run_kernel(BackwardArgs<T> a) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t c = (static_cast<std::int64_t>(blockIdx.y) * 32 + lane) * kPiece, left = a.C - c;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kWarps;
  for (std::int64_t token = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; token < a.V;
       token += step) {
    const unsigned start = a.start[token];
    const int run = static_cast<int>(a.start[token + 1] - start);
    if (run > kShortRun || (run == 0 && a.dweight.accumulate)) continue;  // the whole warp
    const unsigned mine = lane < run ? a.sorted[start + static_cast<unsigned>(lane)].position : 0;
    float* to = a.dweight.data + token * a.C + c;
    float total[kPiece] = {};
    if (a.dweight.accumulate) {
      Piece<float, kPiece, Aligned> before;
      before.load(to, left);
      before.get(total);
    }
    constexpr int kTogether = 4;  // few, for many warps: most runs are short
    for (int first = 0; first < run; first += kTogether) {
      Piece<T, kPiece, Aligned> rows[kTogether];
#pragma unroll
      for (int k = 0; k < kTogether; ++k) {
        const std::int64_t position = __shfl_sync(kFullMask, mine, (first + k) % 32);
        rows[k].load(a.dy + position * a.C + c, first + k < run ? left : 0);
      }
#pragma unroll
      for (int k = 0; k < kTogether; ++k) {
        float row[kPiece];
        rows[k].get(row);
#pragma unroll
        for (int j = 0; j < kPiece; ++j) total[j] += row[j];
      }
    }
    store_piece<Aligned>(to, left, total);
  }
}

// One thread's share of kLongRows rows of kLongColumns columns.
template <class T, bool Aligned>
struct LongRows {
  static constexpr int kAcross = kLongColumns / kLongPiece, kDown = kThreads / kAcross,
                       kEach = kLongRows / kDown;
  std::int64_t position[kEach];  // of the rows to be read next; -1: none
  Piece<T, kLongPiece, Aligned> rows[kEach];

  __device__ __forceinline__ void find(const BackwardArgs<T>& a, std::int64_t first, std::int64_t end) {
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const std::int64_t i = first + threadIdx.x / kAcross + k * kDown;
      position[k] = i < end ? static_cast<std::int64_t>(a.sorted[i].position) : -1;
    }
  }
  __device__ __forceinline__ void load(const BackwardArgs<T>& a, std::int64_t column) {
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const bool there = position[k] >= 0;
      rows[k].load(a.dy + (there ? position[k] : 0) * a.C + column, there ? a.C - column : 0);
    }
  }
  __device__ __forceinline__ void keep(float (*shared)[kLongColumns]) const {
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      float v[kLongPiece];
      rows[k].get(v);
      store_vec(&shared[threadIdx.x / kAcross + k * kDown][threadIdx.x % kAcross * kLongPiece], v);
    }
  }
};

// Block x looks at sorted item x * kShortRun and works when that is the first such item of its token's run,
// which is then a long one or has no other block. Rows are fetched by all threads while kLongColumns of them
// add the ones before, in order.
template <class T, bool Aligned>
__global__ void __launch_bounds__(kThreads, 2) embedding_long_run_kernel(BackwardArgs<T> a) {
  RT_SHARED(float, rows, [kLongRows][kLongColumns]);
  const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * kShortRun;
  const std::int64_t token = a.sorted[item].token;
  if (token >= a.V) return;  // the whole block, as below
  const std::int64_t start = a.start[token], end = a.start[token + 1];
  if (end - start <= kShortRun || item - start >= kShortRun) return;
  const std::int64_t tile = static_cast<std::int64_t>(blockIdx.y) * kLongColumns;
  const std::int64_t column = tile + threadIdx.x % (kLongColumns / kLongPiece) * kLongPiece;
  const std::int64_t mine = tile + threadIdx.x;
  const bool adds = threadIdx.x < kLongColumns && mine < a.C;
  float* to = a.dweight.data + token * a.C + mine;
  float total = adds && a.dweight.accumulate ? *to : 0.0f;
  LongRows<T, Aligned> ahead;
  ahead.find(a, start, end);
  ahead.load(a, column);
  for (std::int64_t first = start; first < end; first += kLongRows) {
    ahead.find(a, first + kLongRows, end);
    ahead.keep(rows);
    __syncthreads();
    ahead.load(a, column);
    if (adds) {
      const int count = static_cast<int>(end - first < kLongRows ? end - first : kLongRows);
#pragma unroll 16
      for (int k = 0; k < count; ++k) total += rows[k][threadIdx.x];
    }
    __syncthreads();
  }
  if (adds) *to = total;
}

// Scratch and launches of the sort of n tokens below V.
class TokenSort {
 public:
  TokenSort(ExecContext& ctx, std::int64_t n, std::int64_t V) : n_(n), V_(static_cast<unsigned>(V)) {
    RT_CHECK(n < (std::int64_t{1} << 31) && V < (std::int64_t{1} << 31), "embedding: {} tokens of {}", n, V);
    tiles_ = static_cast<unsigned>((n + kSortTile - 1) / kSortTile);
    for (TensorView& items : items_) items = ctx.scratch.alloc({n, 2}, DType::I32, "embedding.sorted");
    counts_ = ctx.scratch.alloc({tiles_, kDigits}, DType::I32, "embedding.counts");
    start_ = ctx.scratch.alloc({V + 1}, DType::I32, "embedding.start");
  }

  void run(ExecContext& ctx, const std::int32_t* tokens) {
    const int bits = std::bit_width(V_);
    auto* counts = reinterpret_cast<unsigned*>(counts_.data);
    for (int shift = 0; shift < bits; shift += kDigitBits) {
      const SortItem* in = shift == 0 ? nullptr : sorted();
      current_ = 1 - current_;
      RT_LAUNCH(token_sort_count_kernel<unsigned>, dim3(tiles_), dim3(kSortThreads), 0, stream_of(ctx),
                tokens, in, n_, V_, shift, counts);
      RT_LAUNCH(token_sort_move_kernel<unsigned>, dim3(tiles_), dim3(kSortThreads), 0, stream_of(ctx), tokens,
                in, n_, V_, shift, counts, sorted());
      tokens = nullptr;
    }
    RT_LAUNCH(token_start_kernel<unsigned>, dim3(V_ / kThreads + 1), dim3(kThreads), 0, stream_of(ctx),
              sorted(), static_cast<unsigned>(n_), V_, start());
  }

  SortItem* sorted() const { return reinterpret_cast<SortItem*>(items_[current_].data); }
  unsigned* start() const { return reinterpret_cast<unsigned*>(start_.data); }

 private:
  std::int64_t n_;
  unsigned V_, tiles_;
  TensorView items_[2], counts_, start_;
  int current_ = 0;
};

unsigned ceil_div(std::int64_t n, std::int64_t by) { return static_cast<unsigned>((n + by - 1) / by); }

}  // namespace

void embedding_forward(ExecContext& ctx, const EmbeddingArgs& a, const EmbeddingOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t V = a.weight.shape[0], C = a.weight.shape[1], n = a.tokens.numel();
  const bool aligned = C % kPiece == 0 && all_aligned({&a.weight, &o.y});
  dispatch_rows(a.weight.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    launch("embedding_forward_kernel", embedding_forward_kernel<T, Aligned>, capped_grid(n, kWarps),
           dim3(kThreads), 0, stream_of(ctx), a.tokens.as<std::int32_t>(), device_ptr<T>(a.weight), n, V, C,
           device_ptr<T>(o.y));
  });
}

void embedding_backward(ExecContext& ctx, const EmbeddingArgs& a, const EmbeddingOuts&,
                        const EmbeddingOutGrads& dout, const EmbeddingGrads& g) {
  if (!g.weight) return;
  const ArenaScope scope(ctx.scratch);
  const std::int64_t V = a.weight.shape[0], C = a.weight.shape[1], n = a.tokens.numel();
  TokenSort sort(ctx, n, V);
  if (ctx.dry_run) return;
  sort.run(ctx, a.tokens.as<std::int32_t>());
  const bool aligned = C % kPiece == 0 && all_aligned({&dout.y, &g.weight.view});
  dispatch_rows(dout.y.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    const BackwardArgs<T> args{
        device_ptr<T>(dout.y), sort.sorted(), sort.start(), target<float>(g.weight), n, V, C};
    dim3 grid = capped_grid(V, kWarps);
    grid.y = ceil_div(C, 32 * kPiece);
    launch("embedding_short_run_kernel", embedding_short_run_kernel<T, Aligned>, grid, dim3(kThreads), 0,
           stream_of(ctx), args);
    launch("embedding_long_run_kernel", embedding_long_run_kernel<T, Aligned>,
           dim3(ceil_div(n, kShortRun), ceil_div(C, kLongColumns)), dim3(kThreads), 0, stream_of(ctx), args);
  });
}

}  // namespace rt::cuda
