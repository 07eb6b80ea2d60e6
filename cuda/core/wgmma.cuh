#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

// Hopper's warpgroup matrix products (sm_90a only; nothing here exists elsewhere, the emulation included):
// four successive warps, the first a multiple of four, multiply 64 x 16 by 16 x N; a warp holds 16 rows of
// the result, laid out as C of mma.m16n8k16, N / 8 tiles of columns. Operands in shared memory are rows of
// 128 bytes whose 16-byte pieces are permuted by row % 8, from a multiple of 1024 bytes on.
namespace rt::cuda::wgmma {

// Of an operand whose rows are its M or N and whose 128 bytes are along K (or, transposed, the other way
// round: then every 8 rows are 8 of K).
__device__ __forceinline__ unsigned long long descriptor(const void* p) {
  constexpr unsigned long long kSwizzle128 = 1ull << 62, kEightRows = 1024 >> 4;
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(p));
  return kSwizzle128 | kEightRows << 32 | 1ull << 16 | (address & 0x3ffffu) >> 4;
}

// What threads wrote to shared memory becomes visible to products that begin after a barrier that follows.
__device__ __forceinline__ void publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Around products: registers that they read or add to are complete; all products so far are.
__device__ __forceinline__ void begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void finish() {
  asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
}

#define RT_WGMMA_D16(c)                                                                                     \
  "+f"((c)[0][0]), "+f"((c)[0][1]), "+f"((c)[0][2]), "+f"((c)[0][3]), "+f"((c)[1][0]), "+f"((c)[1][1]),     \
      "+f"((c)[1][2]), "+f"((c)[1][3]), "+f"((c)[2][0]), "+f"((c)[2][1]), "+f"((c)[2][2]), "+f"((c)[2][3]), \
      "+f"((c)[3][0]), "+f"((c)[3][1]), "+f"((c)[3][2]), "+f"((c)[3][3])

// c += A B with A (16 x 16 a warp) in registers, as of mma.m16n8k16, and B from shared memory.
__device__ __forceinline__ void multiply(float (&c)[4][4], const unsigned (&a)[4], unsigned long long b) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %21, 0;\nwgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, {%16, %17, %18, %19}, %20, p, "
      "1, 1, 0;\n}"
      : RT_WGMMA_D16(c)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(1));
}
__device__ __forceinline__ void multiply(float (&c)[8][4], const unsigned (&a)[4], unsigned long long b) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, p, 1, 1, 0;\n}"
      : RT_WGMMA_D16(c), RT_WGMMA_D16(c + 4)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(1));
}
// With A from shared memory as well, (M x K) or stored transposed.
template <bool TransposedA>
__device__ __forceinline__ void multiply(float (&c)[8][4], unsigned long long a, unsigned long long b) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, p, 1, 1, %35, 0;\n}"
      : RT_WGMMA_D16(c), RT_WGMMA_D16(c + 4)
      : "l"(a), "l"(b), "r"(1), "n"(TransposedA ? 1 : 0));
}
#undef RT_WGMMA_D16

}  // namespace rt::cuda::wgmma
