#include "ops/cpu/gemm.h"

#ifdef RT_WITH_ONEDNN
#include <dnnl.h>
#include <omp.h>
#else
#include <Eigen/Core>
#endif

#include <cstring>

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;
using simd::vf;

// Measured on one AVX-512 core: panels of 128 rows keep 90% of the SGEMM rate, of 256 rows 95%; columns best
// come in multiples of oneDNN's register block of 48. Small enough to leave work for many threads when there
// is one sequence.
constexpr std::int64_t kPanelRows = 256, kTileCols = 192, kEnoughTiles = 8;

struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

// [0, n) in pieces of nearly equal size, at most `most` each, boundaries at multiples of 16.
class Pieces {
 public:
  Pieces(std::int64_t n, std::int64_t most) : n_(n) {
    const std::int64_t count = std::max<std::int64_t>(1, (n + most - 1) / most);
    step_ = ((n + count - 1) / count + kLanes - 1) / kLanes * kLanes;
    count_ = (n + step_ - 1) / step_;
  }
  std::int64_t count() const { return count_; }
  Range operator[](std::int64_t i) const { return {i * step_, std::min(n_, (i + 1) * step_)}; }

 private:
  std::int64_t n_, step_, count_;
};

// Rounds or adds a finished f32 tile into y.
template <class T>
void emit(const Tile& tile, T* y, std::int64_t ld, bool accumulate) {
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    const float* from = tile.data + i * tile.ld;
    T* to = y + (tile.row + i) * ld + tile.col;
    for (std::int64_t c = 0; c < tile.cols; c += kLanes) {
      put(to + c, load_tail(from + c, tile.cols - c), tile.cols - c, accumulate);
    }
  }
}

// Dot products of R rows of x with one row of w. The order of additions does not depend on R.
template <int R, class X, class W>
void dots(const X* x, const W* w, std::int64_t K, float* out, std::int64_t out_stride) {
  vf even[R] = {}, odd[R] = {};
  std::int64_t k = 0;
  for (; k + 2 * kLanes <= K; k += 2 * kLanes) {
    const vf w0 = simd::load(w + k), w1 = simd::load(w + k + kLanes);
    for (int r = 0; r < R; ++r) {
      even[r] += simd::load(x + r * K + k) * w0;
      odd[r] += simd::load(x + r * K + k + kLanes) * w1;
    }
  }
  for (; k < K; k += kLanes) {
    const vf w0 = load_tail(w + k, K - k);
    for (int r = 0; r < R; ++r) even[r] += load_tail(x + r * K + k, K - k) * w0;
  }
  for (int r = 0; r < R; ++r) out[r * out_stride] = simd::sum(even[r] + odd[r]);
}

// One row per sequence (decoding): bound by reading w, so w is read once for all rows, in its own dtype.
template <class X, class W>
void single_rows(const X* x, const W* w, std::int64_t B, std::int64_t K, const Tile& tile) {
  for (std::int64_t c = 0; c < tile.cols; ++c) {
    const W* row = w + (tile.col + c) * K;
    float* out = tile.data + c;
    std::int64_t b = 0;
    for (; b + 4 <= B; b += 4) dots<4>(x + b * K, row, K, out + b * tile.ld, tile.ld);
    for (; b < B; ++b) dots<1>(x + b * K, row, K, out + b * tile.ld, tile.ld);
  }
}

struct Product {
  TensorView x, w, y;
  bool transpose_w, accumulate;
  const std::function<void(const Tile&)>* finish;
  std::int64_t K() const { return x.shape.back(); }
  std::int64_t N() const { return y.shape.back(); }
};

void complete(const Product& p, const Tile& tile, bool direct) {
  if (p.finish) (*p.finish)(tile);
  if (direct) return;
  simd::dispatch_storage(p.y.dtype, [&]<class T>(T) { emit(tile, p.y.as<T>(), p.N(), p.accumulate); });
}

void run_single_rows(ExecContext& ctx, const RowPlan& rows, const Product& p) {
  const std::int64_t N = p.N(), K = p.K(), B = rows.rows();
  const bool direct = p.y.dtype == DType::F32 && !p.accumulate;
  const TensorView out = direct ? p.y : ctx.scratch.alloc({B, N}, DType::F32, "matmul.y");
  if (ctx.dry_run) return;
  simd::dispatch_storage(p.x.dtype, [&]<class X>(X) {
    simd::dispatch_storage(p.w.dtype, [&]<class W>(W) {
      parallel_for(N, 32, [&](std::int64_t begin, std::int64_t end) {
        const Tile tile{out.as<float>() + begin, N, 0, begin, B, end - begin};
        single_rows(p.x.as<X>(), p.w.as<W>(), B, K, tile);
        complete(p, tile, direct);
      });
    });
  });
}

void run_tiles(ExecContext& ctx, const RowPlan& rows, const Product& p) {
  const std::int64_t N = p.N(), K = p.K(), T = rows.T;
  const TensorView x = widened(ctx, p.x), w = widened(ctx, p.w);
  const bool direct = p.y.dtype == DType::F32;
  const TensorView out = direct ? p.y : ctx.scratch.alloc({rows.rows(), N}, DType::F32, "matmul.y");
  if (ctx.dry_run) return;
  const Pieces columns(N, kTileCols);
  const bool enough = Pieces(T, kPanelRows).count() * columns.count() >= kEnoughTiles;
  const Pieces panels(T, enough ? kPanelRows : kPanelRows / 2);
  const std::int64_t per_sequence = panels.count() * columns.count();
  parallel_for(rows.B * per_sequence, 1, [&](std::int64_t i, std::int64_t) {
    const Range r = panels[i % per_sequence / columns.count()], c = columns[i % columns.count()];
    const std::int64_t row = i / per_sequence * T + r.begin;
    const Tile tile{out.as<float>() + row * N + c.begin, N, row, c.begin, r.size(), c.size()};
    const float* weights = w.as<float>() + c.begin * (p.transpose_w ? K : 1);
    sgemm(false, p.transpose_w, r.size(), c.size(), K, 1, x.as<float>() + row * K, K, weights,
          p.transpose_w ? K : N, direct && p.accumulate ? 1.0f : 0.0f, tile.data, N);
    complete(p, tile, direct);
  });
}

void run(ExecContext& ctx, const RowPlan& rows, const Product& p) {
  const Shape want = p.transpose_w ? Shape{p.N(), p.K()} : Shape{p.K(), p.N()};
  RT_CHECK(p.w.shape == want && p.x.numel() == rows.rows() * p.K() && p.y.numel() == rows.rows() * p.N(),
           "matmul: x is {}, w {}, y {}, rows {}", p.x.shape, p.w.shape, p.y.shape, rows.rows());
  const ArenaScope scope(ctx.scratch);
  if (rows.T == 1 && p.transpose_w) return run_single_rows(ctx, rows, p);
  run_tiles(ctx, rows, p);
}

}  // namespace

void sgemm(bool ta, bool tb, std::int64_t M, std::int64_t N, std::int64_t K, float alpha, const float* A,
           std::int64_t lda, const float* B, std::int64_t ldb, float beta, float* C, std::int64_t ldc) {
#ifdef RT_WITH_ONEDNN
  // oneDNN splits over OpenMP threads; the limit is a property of the calling thread.
  static thread_local const bool alone = (omp_set_num_threads(1), true);
  static_cast<void>(alone);
  const auto status =
      dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
  RT_CHECK(status == dnnl_success, "sgemm: oneDNN status {} for {} x {} x {}", static_cast<int>(status), M, N,
           K);
#else
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Map = Eigen::Map<const Matrix, 0, Eigen::OuterStride<> >;
  const Map a(A, ta ? K : M, ta ? M : K, Eigen::OuterStride<>(lda));
  const Map b(B, tb ? N : K, tb ? K : N, Eigen::OuterStride<>(ldb));
  Eigen::Map<Matrix, 0, Eigen::OuterStride<> > c(C, M, N, Eigen::OuterStride<>(ldc));
  if (beta == 0) {
    c.setZero();
  } else if (beta != 1) {
    c *= beta;
  }
  if (ta && tb) {
    c.noalias() += alpha * (a.transpose() * b.transpose());
  } else if (ta) {
    c.noalias() += alpha * (a.transpose() * b);
  } else if (tb) {
    c.noalias() += alpha * (a * b.transpose());
  } else {
    c.noalias() += alpha * (a * b);
  }
#endif
}

TensorView widened(ExecContext& ctx, const TensorView& view) {
  if (view.dtype == DType::F32) return view;
  const TensorView wide = ctx.scratch.alloc(view.shape, DType::F32, "widened");
  if (ctx.dry_run) return wide;
  const std::int64_t n = view.numel();
  const bf16* from = view.as<bf16>();
  float* to = wide.as<float>();
  parallel_for(n, std::int64_t{1} << 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += kLanes) {
      simd::store_tail(to + i, load_tail(from + i, end - i), end - i);
    }
  });
  return wide;
}

void matmul(ExecContext& ctx, const RowPlan& rows, const TensorView& x, const TensorView& w, bool transpose_w,
            const TensorView& y, bool accumulate) {
  run(ctx, rows, {x, w, y, transpose_w, accumulate, nullptr});
}

void matmul_finish(ExecContext& ctx, const RowPlan& rows, const TensorView& x, const TensorView& w,
                   bool transpose_w, const TensorView& y, const std::function<void(const Tile&)>& finish) {
  run(ctx, rows, {x, w, y, transpose_w, false, &finish});
}

void matmul_weight_grad(ExecContext& ctx, const RowPlan& rows, const TensorView& a, const TensorView& b,
                        const GradSlot& dw) {
  if (!dw) return;
  const std::int64_t M = a.shape.back(), K = b.shape.back(), T = rows.T;
  RT_CHECK(dw.view.shape == (Shape{M, K}) && a.numel() == rows.rows() * M && b.numel() == rows.rows() * K,
           "matmul_weight_grad: a is {}, b {}, dw {}, rows {}", a.shape, b.shape, dw.view.shape, rows.rows());
  const ArenaScope scope(ctx.scratch);
  const TensorView left = widened(ctx, a), right = widened(ctx, b);
  if (ctx.dry_run) return;
  const Pieces ms(M, kTileCols), ks(K, kTileCols);
  parallel_for(ms.count() * ks.count(), 1, [&](std::int64_t i, std::int64_t) {
    const Range m = ms[i / ks.count()], k = ks[i % ks.count()];
    float* out = dw.view.as<float>() + m.begin * K + k.begin;
    for (std::int64_t s = 0; s < rows.B; ++s) {
      const bool fresh = s == 0 && dw.mode == GradMode::Overwrite;
      sgemm(true, false, m.size(), k.size(), T, 1, left.as<float>() + s * T * M + m.begin, M,
            right.as<float>() + s * T * K + k.begin, K, fresh ? 0.0f : 1.0f, out, K);
    }
  });
}

}  // namespace rt::cpu
