#pragma once
#include <cstdint>

namespace rt {

// Threads used by parallel_for, the caller included. The default is RT_NUM_THREADS, else the number of cores
// this process may run on. Not to be changed while a parallel_for runs.
void set_num_threads(int threads);
int num_threads();

namespace detail {
using RangeFn = void (*)(void* body, std::int64_t begin, std::int64_t end);
void parallel_for(std::int64_t n, std::int64_t grain, void* body, RangeFn call);
}  // namespace detail

// Calls body(begin, end) once for each [i*grain, min(n, (i+1)*grain)), in any order and on any thread. The
// pieces depend on n and grain only, so a result assembled from pieces has the same bits for every thread
// count. A nested call runs its pieces in order on the calling thread. The first exception is rethrown here.
template <class Body>
void parallel_for(std::int64_t n, std::int64_t grain, const Body& body) {
  detail::parallel_for(
      n, grain, const_cast<void*>(static_cast<const void*>(&body)),
      [](void* b, std::int64_t begin, std::int64_t end) { (*static_cast<const Body*>(b))(begin, end); });
}

}  // namespace rt
