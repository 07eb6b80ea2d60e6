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
constexpr int kMaxThreads = 512, kSumThreads = 256;
constexpr float kLog2e = 1.44269504088896341f;

// The largest value of some logits, where it is first, and the sum of exp(logit - max). A NaN shows in the
// sum.
struct Softmax {
  float max, sum;
  int top;
};

// Of no logits. Finite, so that no difference of two infinities arises.
__device__ inline Softmax no_logits() { return {-FLT_MAX, 0, INT_MAX}; }

__device__ inline float exp_difference(float a, float b) { return exp2f((a - b) * kLog2e); }

__device__ inline void add(Softmax& s, float logit, int at) {
  if (logit > s.max) {
    s.sum = s.sum * exp_difference(s.max, logit) + 1;
    s.max = logit;
    s.top = at;
  } else {
    s.sum += exp_difference(logit, s.max);
  }
}

__device__ inline Softmax merged(const Softmax& a, const Softmax& b) {
  Softmax out;
  out.max = fmaxf(a.max, b.max);
  out.sum = a.sum * exp_difference(a.max, out.max) + b.sum * exp_difference(b.max, out.max);
  out.top = a.max > b.max || (a.max == b.max && a.top < b.top) ? a.top : b.top;
  return out;
}

struct RowArgs {
  const std::int32_t* targets;  // (rows)
  int V;
  std::int64_t ld;  // elements of a row of logits, a multiple of 8
  float grad_scale, wrap;
  bool gradients;
  double* losses;  // (rows)
};

// The statistics of one row, the same for every thread.
__device__ inline Softmax row_statistics(const float* row, int V) {
  RT_SHARED(Softmax, parts, [kMaxThreads]);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  Softmax s = no_logits();
  for (int i = thread * 8; i < V; i += threads * 8) {
    float l[8];
    load8(row + i, l);
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      if (i + j < V) add(s, l[j], i + j);
    }
  }
  parts[thread] = s;
  __syncthreads();
  for (int half = threads / 2; half > 0; half /= 2) {
    if (thread < half) parts[thread] = merged(parts[thread], parts[thread + half]);
    __syncthreads();
  }
  return parts[0];
}

// A block per row of logits (rows, ld) f32: its loss and, in place, its gradient in the storage dtype T. A
// gradient of fewer bytes begins where the row begins, so rows stay ld * sizeof(float) bytes apart.
template <class T>
__global__ void cross_entropy_row_kernel(float* logits, RowArgs a) {
  const std::int64_t r = blockIdx.x;
  float* row = logits + r * a.ld;
  T* grad = reinterpret_cast<T*>(row);
  const int thread = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x) * 8;
  const int target = a.targets[r];
  const bool counted = target != -1, valid = target >= 0 && target < a.V;
  const float hit = valid ? row[target] : NAN;  // read before anything is written
  const Softmax s = row_statistics(row, a.V);
  if (thread == 0) {
    a.losses[r] =
        counted ? ::log(static_cast<double>(s.sum)) + static_cast<double>(s.max) - static_cast<double>(hit)
                : 0.0;
  }
  if (!a.gradients) return;
  const float scale = !counted ? 0.0f : valid ? a.grad_scale / s.sum : NAN;
  for (int base = 0; base < a.V; base += step) {
    const int i = base + thread * 8;
    float g[8];
    if (i < a.V) {
      load8(row + i, g);
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        g[j] = counted ? exp_difference(g[j], s.max) * scale : 0.0f;
        if (i + j == target) g[j] -= a.grad_scale;
        if (counted && i + j == s.top) g[j] += a.wrap * s.max;
      }
    }
    // Narrower gradients are written over logits of this and earlier steps only.
    if (sizeof(T) < sizeof(float)) __syncthreads();
    if (i < a.V) store8(grad + i, g);
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
    const RowArgs args{a_.targets.as<std::int32_t>() + first,
                       static_cast<int>(V_),
                       ld_,
                       static_cast<float>(a_.grad_scale),
                       static_cast<float>(a_.grad_scale * a_.l2wrap),
                       o_.dx || o_.weight,
                       losses_.as<double>() + first};
    const unsigned threads = V_ <= 4096 ? 128 : kMaxThreads;
    dispatch_storage(a_.x.dtype, [&]<class T>(T*) {
      RT_LAUNCH(cross_entropy_row_kernel<T>, dim3(static_cast<unsigned>(n)), dim3(threads), 0, stream(),
                logits_.as<float>(), args);
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
