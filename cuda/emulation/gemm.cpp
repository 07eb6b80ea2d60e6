// gemm.h on the host, for kernels that are emulated: the same numbers in every run and for every thread
// count, though not cuBLAS's bits.
#include "cuda/core/gemm.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "cuda/emulation/recorder.h"
#include "rt/core/parallel.h"

namespace rt::cuda {
namespace {

// Sums over blocks of K are added up in order, which keeps the error of long sums small.
constexpr std::int64_t kBlockK = 128, kBlockRows = 8;

float read(const Matrix& m, std::int64_t i) {
  if (m.dtype == DType::F32) return reinterpret_cast<const float*>(m.data)[i];
  return static_cast<float>(reinterpret_cast<const bf16*>(m.data)[i]);
}

void write(const Matrix& m, std::int64_t i, float value) {
  if (m.dtype == DType::F32) {
    reinterpret_cast<float*>(m.data)[i] = value;
  } else {
    reinterpret_cast<bf16*>(m.data)[i] = bf16(value);
  }
}

// op(m) as dense rows of f32.
std::vector<float> widened(const Matrix& m, bool transpose, std::int64_t rows, std::int64_t cols,
                           std::int64_t batch) {
  std::vector<float> out(static_cast<std::size_t>(rows * cols));
  parallel_for(rows, kBlockRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        const std::int64_t at = transpose ? j * m.ld + i : i * m.ld + j;
        out[static_cast<std::size_t>(i * cols + j)] = read(m, batch * m.batch_stride + at);
      }
    }
  });
  return out;
}

// sum[n] = the product of one row of op(A) with op(B).
void row_product(const GemmArgs& g, const float* a, const float* b, std::vector<float>& part,
                 std::vector<float>& sum) {
  std::fill(sum.begin(), sum.end(), 0.0f);
  for (std::int64_t begin = 0; begin < g.K; begin += kBlockK) {
    std::fill(part.begin(), part.end(), 0.0f);
    float* to = part.data();
    for (std::int64_t k = begin, end = std::min(g.K, begin + kBlockK); k < end; ++k) {
      const float left = a[k];
      const float* row = b + k * g.N;
      for (std::int64_t n = 0; n < g.N; ++n) to[n] += left * row[n];
    }
    for (std::size_t n = 0; n < sum.size(); ++n) sum[n] += part[n];
  }
}

void product(const GemmArgs& g) {
  const Matrix bias{g.bias.data, g.bias.dtype};
  for (std::int64_t batch = 0; batch < g.batch; ++batch) {
    const std::vector<float> a = widened(g.a, g.transpose_a, g.M, g.K, batch);
    const std::vector<float> b = widened(g.b, g.transpose_b, g.K, g.N, batch);
    parallel_for(g.M, kBlockRows, [&](std::int64_t first, std::int64_t end) {
      std::vector<float> sum(static_cast<std::size_t>(g.N)), part(sum.size());
      for (std::int64_t m = first; m < end; ++m) {
        row_product(g, a.data() + m * g.K, b.data(), part, sum);
        for (std::int64_t n = 0; n < g.N; ++n) {
          const std::int64_t at = batch * g.c.batch_stride + m * g.c.ld + n;
          float value = g.alpha * sum[static_cast<std::size_t>(n)];
          if (g.beta != 0) value += g.beta * read(g.c, at);
          if (g.bias) value += read(bias, n);
          write(g.c, at, value);
        }
      }
    });
  }
}

}  // namespace

void gemm(ExecContext& ctx, const GemmArgs& g) {
  check_gemm(g);
  const ArenaScope scope(ctx.scratch);
  const TensorView workspace = ctx.scratch.alloc({256}, DType::U8, "gemm.workspace");
  if (ctx.dry_run) return;
  emu::submit(ctx.stream.native(), [=] {
    std::memset(workspace.data, 0xff, workspace.nbytes());  // as cuBLAS may: nobody else's memory
    product(g);
  });
}

}  // namespace rt::cuda
