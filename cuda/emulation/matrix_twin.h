#pragma once
#include <bit>
#include <cstdint>

#include "cuda/emulation/runtime.h"

// Host twins of cuda/core/mma.cuh, which documents them. Sums inside an mma are in f32, in the order of k;
// the device adds the products of one mma with another rounding.
namespace rt::cuda {

namespace emu {
void mma_bf16(float* c, const unsigned* a, unsigned b0, unsigned b1, Site site);
void mma_tf32(float* c, const unsigned* a, unsigned b0, unsigned b1, Site site);
// `count` 8 x 8 matrices, 1 to 4.
void ldmatrix(unsigned* r, int count, bool transpose, const void* row, Site site);
unsigned movmatrix(unsigned x, Site site);
}  // namespace emu

inline void mma_m16n8k16_bf16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                              const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emu::mma_bf16(c, a, b0, b1, {file, line});
}

inline void mma_m16n8k8_tf32(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                             const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emu::mma_tf32(c, a, b0, b1, {file, line});
}

inline unsigned to_tf32(float x) {
  const auto bits = std::bit_cast<unsigned>(x);
  // Infinities and NaNs keep what is left of their bits.
  if ((bits & 0x7f800000u) == 0x7f800000u) return (bits & 0x7fffffu) ? 0x7fffe000u : bits;
  return (bits + 0x1000u) & 0xffffe000u;
}

template <bool Trans>
void ldmatrix_x4(unsigned (&r)[4], const void* row, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
  emu::ldmatrix(r, 4, Trans, row, {file, line});
}

template <bool Trans>
void ldmatrix_x2(unsigned (&r)[2], const void* row, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
  emu::ldmatrix(r, 2, Trans, row, {file, line});
}

inline unsigned movmatrix_trans(unsigned x, const char* file = __builtin_FILE(),
                                int line = __builtin_LINE()) {
  return emu::movmatrix(x, {file, line});
}

inline void cp_async16(void* dst, const void* src, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  emu::copy_async(dst, src, true, {file, line});
}

inline void cp_async16_or_zero(void* dst, const void* src, bool valid, const char* file = __builtin_FILE(),
                               int line = __builtin_LINE()) {
  emu::copy_async(dst, src, valid, {file, line});
}

inline void cp_async_commit() { emu::copy_async_commit(); }

template <int N>
void cp_async_wait() {
  static_assert(N >= 0 && N < 8);
  emu::copy_async_wait(N);
}

}  // namespace rt::cuda
