#include "cuda/emulation/matrix_twin.h"

#include <cstring>

#include "cuda/emulation/sanitizers.h"

namespace rt::cuda::emu {
namespace {

float low_bf16(unsigned pair) { return std::bit_cast<float>(pair << 16); }
float high_bf16(unsigned pair) { return std::bit_cast<float>(pair & 0xffff0000u); }
// The unit does not see the low bits.
float tf32(unsigned bits) { return std::bit_cast<float>(bits & 0xffffe000u); }

struct MmaOperands {
  const unsigned* a;
  unsigned b[2];
};

using Four = float __attribute__((vector_size(16)));

// c (16 x 8, spread over the lanes' out) += A (16 x K) B (K x 8)
template <int K>
void multiply(const float (&a)[16][K], const float (&b)[K][8], void* const (&out)[32]) {
  Four c[16][2], rows[K][2];
  std::memcpy(rows, b, sizeof(rows));
  for (int lane = 0; lane < 32; ++lane) {
    const auto* from = static_cast<const float*>(out[lane]);
    for (int i = 0; i < 4; ++i) {
      const int n = lane % 4 * 2 + i % 2;
      c[lane / 4 + i / 2 * 8][n / 4][n % 4] = from[i];
    }
  }
  for (int m = 0; m < 16; ++m) {
    Four low = c[m][0], high = c[m][1];
    for (int k = 0; k < K; ++k) {
      low += a[m][k] * rows[k][0];
      high += a[m][k] * rows[k][1];
    }
    c[m][0] = low;
    c[m][1] = high;
  }
  for (int lane = 0; lane < 32; ++lane) {
    auto* to = static_cast<float*>(out[lane]);
    for (int i = 0; i < 4; ++i) {
      const int n = lane % 4 * 2 + i % 2;
      to[i] = c[lane / 4 + i / 2 * 8][n / 4][n % 4];
    }
  }
}

void exchange_mma_bf16(const void* const (&in)[32], void* const (&out)[32], unsigned) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& op = *static_cast<const MmaOperands*>(in[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + i % 2 * 8, col = 2 * t + i / 2 * 8;
      a[row][col] = low_bf16(op.a[i]);
      a[row][col + 1] = high_bf16(op.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[2 * t + 8 * i][g] = low_bf16(op.b[i]);
      b[2 * t + 8 * i + 1][g] = high_bf16(op.b[i]);
    }
  }
  multiply(a, b, out);
}

void exchange_mma_tf32(const void* const (&in)[32], void* const (&out)[32], unsigned) {
  float a[16][8], b[8][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& op = *static_cast<const MmaOperands*>(in[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = tf32(op.a[i]);
    for (int i = 0; i < 2; ++i) b[t + 4 * i][g] = tf32(op.b[i]);
  }
  multiply(a, b, out);
}

struct Row {
  std::uint16_t values[8];
};

// Matrix i is rows[8i..8i+7]; out is the lanes' registers.
template <int Count, bool Transpose>
void exchange_matrices(const void* const (&in)[32], void* const (&out)[32], unsigned) {
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < Count; ++i) {
      const auto at = [&](int r, int c) -> unsigned {
        return static_cast<const Row*>(in[8 * i + r])->values[c];
      };
      static_cast<unsigned*>(out[lane])[i] =
          Transpose ? at(2 * t, g) | at(2 * t + 1, g) << 16 : at(g, 2 * t) | at(g, 2 * t + 1) << 16;
    }
  }
}

void exchange_movmatrix(const void* const (&in)[32], void* const (&out)[32], unsigned) {
  const auto element = [&](int r, int c) {
    const unsigned pair = *static_cast<const unsigned*>(in[r * 4 + c / 2]);
    return pair >> (c % 2 * 16) & 0xffffu;
  };
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    *static_cast<unsigned*>(out[lane]) = element(2 * t, g) | element(2 * t + 1, g) << 16;
  }
}

}  // namespace

void mma_bf16(float* c, const unsigned* a, unsigned b0, unsigned b1, Site site) {
  const MmaOperands operands{a, {b0, b1}};
  whole_warp("mma_m16n8k16_bf16", site, &operands, c, exchange_mma_bf16);
}

void mma_tf32(float* c, const unsigned* a, unsigned b0, unsigned b1, Site site) {
  const MmaOperands operands{a, {b0, b1}};
  whole_warp("mma_m16n8k8_tf32", site, &operands, c, exchange_mma_tf32);
}

void ldmatrix(unsigned* r, int count, bool transpose, const void* row, Site site) {
  Row mine;
  std::memset(&mine, 0xff, sizeof(mine));
  if (lane_index() < 8 * count) {
    check_alignment(row, sizeof(mine), "ldmatrix from", site);
    check_shared(row, sizeof(mine), "ldmatrix from", site);
    sanitizers::read(row, sizeof(mine));
    std::memcpy(&mine, row, sizeof(mine));
  }
  if (count == 4) {
    whole_warp(transpose ? "ldmatrix_x4<true>" : "ldmatrix_x4<false>", site, &mine, r,
               transpose ? exchange_matrices<4, true> : exchange_matrices<4, false>);
  } else {
    whole_warp(transpose ? "ldmatrix_x2<true>" : "ldmatrix_x2<false>", site, &mine, r,
               transpose ? exchange_matrices<2, true> : exchange_matrices<2, false>);
  }
}

unsigned movmatrix(unsigned x, Site site) {
  unsigned y;
  whole_warp("movmatrix_trans", site, &x, &y, exchange_movmatrix);
  return y;
}

}  // namespace rt::cuda::emu
