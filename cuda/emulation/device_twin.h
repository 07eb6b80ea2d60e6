#pragma once
// The device facilities of cuda/device.h for a host compiler.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda/emulation/builtins.h"
#include "cuda/emulation/matrix_twin.h"
#include "cuda/emulation/recorder.h"
#include "cuda/emulation/runtime.h"
#include "cuda/emulation/thread_index.h"

namespace rt::cuda {

// Returns when the kernel has finished, and throws what it did wrong; while the stream is being recorded,
// every replay does so instead.
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t smem,
            cudaStream_t stream, A&&... args) {
  static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has parameters");
  static_assert((0 + ... + sizeof(P)) <= 4096, "a kernel takes up to 4096 bytes of parameters");
  struct Closure {
    void (*kernel)(P...);
    std::tuple<std::remove_const_t<P>...> params;
  };
  const Closure closure{kernel, {static_cast<P>(std::forward<A>(args))...}};
  emu::submit(stream, [=] {
    emu::run({name, grid, block, smem,
              [](const void* c) {
                const auto& self = *static_cast<const Closure*>(c);
                std::apply(self.kernel, self.params);
              },
              &closure});
  });
}

inline std::size_t block_shared_limit() { return emu::options().shared_limit; }

class Smem {
 public:
  template <class T>
  T* take(std::size_t n, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return static_cast<T*>(emu::carve(taken_++, n * sizeof(T), 16, {file, line}));
  }

 private:
  unsigned taken_ = 0;
};

inline float exp2_fast(float x) {
  const auto flushed = [](float v) { return std::fabs(v) < FLT_MIN ? 0.0f * v : v; };
  return flushed(std::exp2(flushed(x)));
}
inline float rcp_fast(float x) {
  const auto flushed = [](float v) { return std::fabs(v) < FLT_MIN ? std::copysign(0.0f, v) : v; };
  return flushed(1 / flushed(x));
}

inline void assume_vector_access(const void* p, std::size_t bytes, const char* file = __builtin_FILE(),
                                 int line = __builtin_LINE()) {
  emu::check_alignment(p, bytes, "vector access at", {file, line});
}

}  // namespace rt::cuda

// The array's type is named first, as `T dims` is no type specifier. A tag per declaration and instantiation.
#define RT_SHARED(T, name, dims)                                                        \
  static constinit ::rt::cuda::emu::SharedTag name##_tag_{#name, {__FILE__, __LINE__}}; \
  using name##_array_ = T dims;                                                         \
  name##_array_& name =                                                                 \
      *static_cast<name##_array_*>(::rt::cuda::emu::static_shared(name##_tag_, sizeof(name##_array_), 16))

// A kernel whose name has a comma is bound to a name first: const auto kernel = foo_kernel<64, 16>.
#define RT_LAUNCH(kernel, grid, block, smem, stream, ...) \
  ::rt::cuda::launch(#kernel, kernel, grid, block, smem, stream __VA_OPT__(, ) __VA_ARGS__)
