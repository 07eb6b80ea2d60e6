#include "rt/ops/linear_cross_entropy.h"

#include <cfloat>
#include <climits>
#include <cmath>

#include "cuda/core/gemm.h"
#include "cuda/core/map.cuh"

// Differences from the CPU, where the host can read targets and gradients: a target outside [-1, V) makes the
// loss of its sequence and the row's gradients NaN instead of an error, and the gradient that reaches the
// loss is taken to be ones. Rows with target -1 take part in the products with zero gradients, so their x
// must be finite.
namespace rt::cuda {
namespace {

// Rows are taken in chunks whose logits use about a twentieth of what all logits would, but not less than
// kMinLogitBytes, and not more than kMaxRows rows: from there on adding to dW costs little beside the
// products.
constexpr std::int64_t kMinLogitBytes = std::int64_t{16} << 20, kMaxRows = 2048, kShare = 20, kRowTile = 128;
constexpr int kMaxThreads = 1024, kSumThreads = 256;
constexpr int kEach = 4, kAhead = 4;  // logits of a thread at a time; how many times ahead they are fetched
constexpr float kLog2e = 1.44269504088896341f;

// The largest value of some logits, where it is first, and the sum of exp(logit - max). A NaN shows in the
// sum.
struct Softmax {
  float max, sum;
  int top;
};

// Of no logits. Finite, so that no difference of two infinities arises.
__device__ inline Softmax no_logits() { return {-FLT_MAX, 0, INT_MAX}; }

__device__ __forceinline__ float exp_difference(float a, float b) { return exp2_fast((a - b) * kLog2e); }

// Logits `at` and following, as far as they are below V.
__device__ __forceinline__ void add(Softmax& s, float (&l)[kEach], int at, int V) {
  if (at + kEach > V) {
#pragma unroll
    for (int j = 0; j < kEach; ++j) l[j] = at + j < V ? l[j] : -INFINITY;
  }
  float top = l[0];
#pragma unroll
  for (int j = 1; j < kEach; ++j) top = fmaxf(top, l[j]);
  if (top > s.max) {
    s.sum *= exp_difference(s.max, top);
    s.max = top;
#pragma unroll
    for (int j = kEach; j-- > 0;) s.top = l[j] == top ? at + j : s.top;
  }
#pragma unroll
  for (int j = 0; j < kEach; ++j) s.sum += exp_difference(l[j], s.max);
}

__device__ __forceinline__ Softmax merged(const Softmax& a, const Softmax& b) {
  Softmax out;
  out.max = fmaxf(a.max, b.max);
  out.sum = a.sum * exp_difference(a.max, out.max) + b.sum * exp_difference(b.max, out.max);
  out.top = a.max > b.max || (a.max == b.max && a.top < b.top) ? a.top : b.top;
  return out;
}

// Over the lanes of a warp: lane 0 has the result.
__device__ __forceinline__ Softmax warp_merged(Softmax s) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    s = merged(s, {__shfl_down_sync(kFullMask, s.max, offset), __shfl_down_sync(kFullMask, s.sum, offset),
                   __shfl_down_sync(kFullMask, s.top, offset)});
  }
  return s;
}

struct RowArgs {
  const std::int32_t* targets;  // (rows)
  int V, kept;                  // kept: how many logits of a row stay in shared memory
  std::int64_t ld;              // elements of a row of logits, a multiple of 8
  float grad_scale, wrap;
  bool gradients;
  double* losses;  // (rows)
};

// The statistics of one row, the same for every thread, which has read its logits when this returns. The
// first ones are then in `kept`.
__device__ inline Softmax row_statistics(const float* row, float* kept, const RowArgs& a) {
  RT_SHARED(Softmax, parts, [kMaxThreads / 32]);
  const int first = static_cast<int>(threadIdx.x) * kEach, step = static_cast<int>(blockDim.x) * kEach;
  const auto fetch = [&](int i) {
    if (i < a.kept) cp_async16(kept + i, row + i);
    cp_async_commit();
  };
  Softmax s = no_logits();
  float l[kEach];
#pragma unroll
  for (int k = 0; k < kAhead; ++k) fetch(first + k * step);
  for (int i = first; i < a.kept; i += step) {
    fetch(i + kAhead * step);
    cp_async_wait<kAhead>();
    load_vec(kept + i, l);
    add(s, l, i, a.V);
  }
  for (int i = a.kept + first; i < a.V; i += step) {
    load_vec(row + i, l);
    add(s, l, i, a.V);
  }
  const int lane = static_cast<int>(threadIdx.x) % 32, warps = static_cast<int>(blockDim.x) / 32;
  s = warp_merged(s);
  if (lane == 0) parts[threadIdx.x / 32] = s;
  __syncthreads();
  s = warp_merged(lane < warps ? parts[lane] : no_logits());
  return {__shfl_sync(kFullMask, s.max, 0), __shfl_sync(kFullMask, s.sum, 0),
          __shfl_sync(kFullMask, s.top, 0)};
}

// A block per row of logits (rows, ld) f32: its loss and, in place, its gradient in the storage dtype T. A
// gradient of fewer bytes begins where the row begins, so rows stay ld * sizeof(float) bytes apart. What does
// not fit shared memory is read twice, the second time soon enough to be in the cache: a multiprocessor holds
// one such row.
template <class T>
__global__ void __launch_bounds__(kMaxThreads) cross_entropy_row_kernel(float* logits, RowArgs a) {
  Smem smem;
  float* const kept = smem.take<float>(static_cast<std::size_t>(a.kept));
  const std::int64_t r = blockIdx.x;
  float* row = logits + r * a.ld;
  T* grad = reinterpret_cast<T*>(row);
  const int first = static_cast<int>(threadIdx.x) * kEach, step = static_cast<int>(blockDim.x) * kEach;
  const int target = a.targets[r];
  const bool counted = target != -1, valid = target >= 0 && target < a.V;
  const float hit = valid ? row[target] : NAN;  // read before anything is written
  const Softmax s = row_statistics(row, kept, a);
  if (threadIdx.x == 0) {
    a.losses[r] =
        counted ? ::log(static_cast<double>(s.sum)) + static_cast<double>(s.max) - static_cast<double>(hit)
                : 0.0;
  }
  if (!a.gradients) return;
  const float scale = !counted ? 0.0f : valid ? a.grad_scale / s.sum : NAN;
  const auto gradients = [&](float(&g)[kEach], int i) {
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      g[j] = counted ? exp_difference(g[j], s.max) * scale : 0.0f;
      if (i + j == target) g[j] -= a.grad_scale;
      if (counted && i + j == s.top) g[j] += a.wrap * s.max;
    }
  };
  float g[kEach];
  for (int i = first; i < a.kept; i += step) {
    load_vec(kept + i, g);
    gradients(g, i);
    store_vec(grad + i, g);
  }
  for (int base = a.kept; base < a.V; base += step) {
    const int i = base + first;
    if (i < a.V) {
      load_vec(row + i, g);
      gradients(g, i);
    }
    // Narrower gradients are written over logits of this and earlier steps only.
    if (sizeof(T) < sizeof(float)) __syncthreads();
    if (i < a.V) store_vec(grad + i, g);
  }
}

// loss (B): a block per sequence adds its T rows in a fixed tree.
__global__ void sequence_loss_kernel(const double* rows, std::int64_t T, float* loss) {
  RT_SHARED(double, sums, [kSumThreads]);
  const int thread = static_cast<int>(threadIdx.x);
  double sum = 0;
  for (std::int64_t t = thread; t < T; t += kSumThreads) sum += rows[blockIdx.x * T + t];
  sums[thread] = sum;
  __syncthreads();
  for (int half = kSumThreads / 2; half > 0; half /= 2) {
    if (thread < half) sums[thread] += sums[thread + half];
    __syncthreads();
  }
  if (thread == 0) loss[blockIdx.x] = static_cast<float>(sums[0]);
}

struct Identity {
  __device__ float operator()(float x, float) const { return x; }
};

// Rows of logits in flight, for `rows` in all and ld logits a row.
std::int64_t chunk_rows(std::int64_t rows, std::int64_t ld) {
  const std::int64_t least = std::max<std::int64_t>(1, kMinLogitBytes / (ld * 4));
  const std::int64_t chunk = std::clamp(rows / kShare, std::min(least, kMaxRows), kMaxRows);
  return std::min(rows, chunk >= kRowTile ? chunk / kRowTile * kRowTile : chunk);
}

class Head {
 public:
  Head(ExecContext& ctx, const LinearCrossEntropyArgs& a, const LinearCrossEntropyOuts& o)
      : ctx_(ctx), a_(a), o_(o), rows_(a.targets.numel()), C_(a.x.shape[2]), V_(a.weight.shape[0]) {
    RT_CHECK(V_ < INT_MAX / 2, "cross entropy: {} words", V_);
    ld_ = (V_ + 63) / 64 * 64;
    chunk_ = chunk_rows(rows_, ld_);
    logits_ = ctx.scratch.alloc({chunk_, ld_}, DType::F32, "cross_entropy.logits");
    losses_ = ctx.scratch.alloc({rows_}, DType::F64, "cross_entropy.losses");
  }

  void run() {
    for (std::int64_t first = 0; first < rows_; first += chunk_) {
      const std::int64_t n = std::min(chunk_, rows_ - first);
      logits(first, n);
      row_kernel(first, n);
      if (o_.dx) input_gradient(first, n);
      if (o_.weight) weight_gradient(first, n);
    }
    if (ctx_.dry_run) return;
    RT_LAUNCH(sequence_loss_kernel, dim3(static_cast<unsigned>(o_.loss.numel())), dim3(kSumThreads), 0,
              stream(), losses_.as<double>(), a_.x.shape[1], o_.loss.as<float>());
    if (!o_.rows) return;
    // A sequence of one row is that row.
    RT_LAUNCH(sequence_loss_kernel, dim3(static_cast<unsigned>(rows_)), dim3(kSumThreads), 0, stream(),
              losses_.as<double>(), 1, o_.rows.as<float>());
  }

 private:
  cudaStream_t stream() const { return stream_of(ctx_); }

  // Rows from `first` on of x or dx.
  Matrix at(const TensorView& view, std::int64_t first) const {
    return {view.data + static_cast<std::size_t>(first * C_) * size_of(view.dtype), view.dtype, C_};
  }
  // The gradients that row_kernel left in the place of the logits.
  Matrix dlogits() const {
    return {logits_.data, a_.x.dtype, ld_ * 4 / static_cast<std::int64_t>(size_of(a_.x.dtype))};
  }

  void logits(std::int64_t first, std::int64_t n) {
    GemmArgs g;
    g.M = n, g.N = V_, g.K = C_;
    g.a = at(a_.x, first), g.b = rows_of(a_.weight), g.c = rows_of(logits_);
    g.transpose_b = true;
    gemm(ctx_, g);
  }

  void row_kernel(std::int64_t first, std::int64_t n) {
    if (ctx_.dry_run) return;
    const unsigned threads = V_ <= 4096 ? 128 : V_ <= 16384 ? 512 : kMaxThreads;
    const int step = static_cast<int>(threads) * kEach, V = static_cast<int>(V_);
    constexpr std::size_t kOther = 1024;  // the kernel's own arrays
    const int room = static_cast<int>((block_shared_limit() - kOther) / sizeof(float));
    const int kept = V <= room / kEach * kEach ? (V + kEach - 1) / kEach * kEach : room / step * step;
    const RowArgs args{a_.targets.as<std::int32_t>() + first,
                       V,
                       kept,
                       ld_,
                       static_cast<float>(a_.grad_scale),
                       static_cast<float>(a_.grad_scale * a_.l2wrap),
                       o_.dx || o_.weight,
                       losses_.as<double>() + first};
    dispatch_storage(a_.x.dtype, [&]<class T>(T*) {
      RT_LAUNCH(cross_entropy_row_kernel<T>, dim3(static_cast<unsigned>(n)), dim3(threads),
                smem_bytes<float>(static_cast<std::size_t>(kept)), stream(), logits_.as<float>(), args);
    });
  }

  void input_gradient(std::int64_t first, std::int64_t n) {
    GemmArgs g;
    g.M = n, g.N = C_, g.K = V_;
    g.a = dlogits(), g.b = rows_of(a_.weight), g.c = at(o_.dx, first);
    gemm(ctx_, g);
  }

  void weight_gradient(std::int64_t first, std::int64_t n) {
    GemmArgs g;
    g.M = V_, g.N = C_, g.K = n;
    g.a = dlogits(), g.b = at(a_.x, first), g.c = rows_of(o_.weight.view);
    g.transpose_a = true;
    g.beta = first == 0 && o_.weight.mode == GradMode::Overwrite ? 0.0f : 1.0f;
    gemm(ctx_, g);
  }

  ExecContext& ctx_;
  const LinearCrossEntropyArgs& a_;
  const LinearCrossEntropyOuts& o_;
  std::int64_t rows_, C_, V_, ld_, chunk_;
  TensorView logits_, losses_;
};

}  // namespace

void linear_cross_entropy_forward(ExecContext& ctx, const LinearCrossEntropyArgs& a,
                                  const LinearCrossEntropyOuts& o) {
  const ArenaScope scope(ctx.scratch);
  Head(ctx, a, o).run();
}

void linear_cross_entropy_backward(ExecContext& ctx, const LinearCrossEntropyArgs&,
                                   const LinearCrossEntropyOuts& o, const LinearCrossEntropyOutGrads&,
                                   const LinearCrossEntropyGrads& g) {
  if (!g.x) return;
  map(ctx, "cross_entropy_hand_on_kernel", Identity{}, o.dx, o.dx, g.x.view,
      g.x.mode == GradMode::Accumulate);
}

}  // namespace rt::cuda
