#include "rt/train/signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include "ops/cpu/gemm.h"
#include "rt/core/parallel.h"

namespace rt {
namespace {

// A signal that comes while a product with a large K is computed must not touch the heap: allocations beside
// the library's own buffers would be overwritten, and glibc would abort when they are freed.
TEST(SignalGuard, LeavesMemoryAloneDuringProducts) {
  constexpr std::int64_t M = 192, N = 256, K = 512;
  const std::vector<float> a(M * K, 1.0f), b(K * N, 1.0f);
  for (int round = 0; round < 40; ++round) {
    const SignalGuard guard;
    std::thread sender([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      kill(getpid(), SIGUSR1);
    });
    std::size_t size = 3000;
    while (SignalGuard::requested() == 0) {
      size = size * 5 % 9973;
      const std::vector<char> neighbour(size + 1);
      parallel_for(4, 1, [&](std::int64_t, std::int64_t) {
        std::vector<float> c(M * N);
        cpu::sgemm(false, false, M, N, K, 1, a.data(), K, b.data(), N, 0, c.data(), N);
        EXPECT_EQ(c.back(), static_cast<float>(K));
      });
    }
    sender.join();
    EXPECT_EQ(SignalGuard::requested(), SIGUSR1);
    EXPECT_STREQ(SignalGuard::name(SIGUSR1), "SIGUSR1");
  }
}

}  // namespace
}  // namespace rt
