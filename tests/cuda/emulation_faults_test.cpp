// Every kind of mistake that the emulation promises to find is found.
#include <gtest/gtest.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "cuda/emulation/runtime.h"
#include "tests/cuda/kernels.h"
#include "tests/cuda/schedules.h"

#ifdef __SANITIZE_THREAD__
#define RT_SKIP_UNDER_TSAN() GTEST_SKIP() << "ThreadSanitizer reports it too, and fails the program"
#else
#define RT_SKIP_UNDER_TSAN() static_cast<void>(0)
#endif

namespace rt::cuda::testing {
namespace {

// Left-out synchronisation shows as results that are not those of the right kernel. Some only do in orders
// that let warps overtake each other.
struct RaceCase {
  const char* name;
  Fault fault;
  std::function<Bits(Fault)> run;
  bool in_fifo;  // shows in the default order already
};

std::ostream& operator<<(std::ostream& out, const RaceCase& c) { return out << c.name; }

Bits run_norm(Fault f) { return bits(layer_norm(numbers(3 * kNormWidth, 9), f)); }
Bits run_gemm(Fault f) { return bits(gemm(gemm_a(), gemm_b(), kM, kN, kK, f)); }
Bits run_hand_over(Fault f) { return bits(hand_over(f)); }

class EmulationRaceCases : public ::testing::TestWithParam<RaceCase> {};

TEST_P(EmulationRaceCases, ShowInTheResult) {
  RT_SKIP_UNDER_TSAN();
  const Bits right = GetParam().run(Fault::None);
  const std::vector<Bits> got = in_every_schedule([] { return GetParam().run(GetParam().fault); });
  emu::set_options({});
  EXPECT_EQ(GetParam().run(GetParam().fault) != right, GetParam().in_fifo);
  emu::use_schedule(0);
  const auto wrong = std::count_if(got.begin(), got.end(), [&](const Bits& b) { return b != right; });
  EXPECT_GE(wrong, 2);
}

INSTANTIATE_TEST_SUITE_P(
    , EmulationRaceCases,
    ::testing::Values(
        RaceCase{"NoBarrierInReduction", Fault::NoBarrierInReduction, run_norm, true},
        RaceCase{"ScratchReused", Fault::ScratchReused, run_norm, false},
        RaceCase{"NoWaitForCopies", Fault::NoWaitForCopies, run_gemm, true},
        RaceCase{"NoBarrierAfterWait", Fault::NoBarrierAfterWait, run_gemm, true},
        RaceCase{"NoBarrierBeforeRefill", Fault::NoBarrierBeforeRefill, run_gemm, false},
        RaceCase{"NoBarrierBeforeStage", Fault::NoBarrierBeforeStage, run_gemm, true},
        RaceCase{"NoBarrierBeforeConsumers", Fault::NoBarrierBeforeConsumers, run_hand_over, false},
        RaceCase{"NoBarrierBeforeNextRound", Fault::NoBarrierBeforeNextRound, run_hand_over, true},
        RaceCase{"NoSyncwarp", Fault::NoSyncwarp, run_hand_over, true},
        RaceCase{"NeverWritten", Fault::NeverWritten, run_hand_over, true}),
    [](const auto& c) { return c.param.name; });

TEST(EmulationRaces, BetweenBlocksShowInTheResult) {
  emu::set_options({.os_threads = 1});
  const Bits in_order = bits(chain_of_blocks());
  const std::vector<Bits> got = in_every_schedule([] { return bits(chain_of_blocks()); });
  emu::set_options(emu::default_options());
  for (std::size_t i = 1; i < got.size(); ++i) EXPECT_NE(got[i], in_order) << "schedule " << i;
}

struct ErrorCase {
  Fault fault;
  const char* name;
  const char* text;  // a part of the message
};

std::ostream& operator<<(std::ostream& out, const ErrorCase& c) { return out << c.name; }

class EmulationErrorCases : public ::testing::TestWithParam<ErrorCase> {};

std::string message_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const std::exception& e) { return e.what(); }
  return "no error";
}

TEST_P(EmulationErrorCases, AreReportedInEverySchedule) {
  RT_SKIP_UNDER_TSAN();
#ifdef __SANITIZE_ADDRESS__
  if (GetParam().name == std::string("OverrunStatic") || GetParam().name == std::string("UnderrunStatic") ||
      GetParam().name == std::string("OverrunDynamic")) {
    GTEST_SKIP() << "AddressSanitizer ends the process at such a write";
  }
#endif
  for (int i = 0; i < emu::schedule_count(); ++i) {
    emu::use_schedule(i);
    const std::string message = message_of([] {
      GetParam().fault == Fault::HalfWarpMma ? void(run_gemm(Fault::HalfWarpMma)) : misuse(GetParam().fault);
    });
    EXPECT_NE(message.find(GetParam().text), std::string::npos) << "schedule " << i << ": " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
    // What ran in the middle of a kernel does not disturb the next one.
    EXPECT_EQ(hand_over()[0], 102.0f);
  }
  emu::use_schedule(0);
}

TEST(EmulationErrors, LaunchesThatADeviceRefuses) {
  const auto message = [](BadLaunch how) { return message_of([&] { launch_badly(how); }); };
  EXPECT_EQ(
      message(BadLaunch::EmptyGrid),
      "emulated nothing_kernel: grid (1, 0, 1), block (1, 1, 1), 0 bytes of shared memory: an empty grid");
  EXPECT_NE(message(BadLaunch::TooManyThreads).find("the block is too large"), std::string::npos);
  EXPECT_NE(message(BadLaunch::TooMuchShared).find("more shared memory than a block can have"),
            std::string::npos);
  EXPECT_NE(message(BadLaunch::Nested).find("launched from inside a kernel"), std::string::npos);
  EXPECT_NE(message_of([] { emu::use_schedule(6); }).find("schedule 6 of 6"), std::string::npos);
}

#define RT_ERROR_CASE(name, text) \
  ErrorCase { Fault::name, #name, text }

INSTANTIATE_TEST_SUITE_P(
    , EmulationErrorCases,
    ::testing::Values(
        RT_ERROR_CASE(HalfWarpMma, "mma_m16n8k16_bf16"), RT_ERROR_CASE(DivergentBarrier, "__syncthreads"),
        RT_ERROR_CASE(DifferentBarriers, "waits in __syncthreads at"),
        RT_ERROR_CASE(LaneSkipsShuffle, "__shfl_xor_sync"),
        RT_ERROR_CASE(LanesDisagree, "with the same mask"),
        RT_ERROR_CASE(LaneOutsideMask, "which it is not in"), RT_ERROR_CASE(MaskNamesReturned, "return"),
        RT_ERROR_CASE(WarpTooSmall, "in a warp of 8 threads"),
        RT_ERROR_CASE(Deadlock, "deadlock: 32 from thread 0 on wait in __syncwarp"),
        RT_ERROR_CASE(ReturnBeforeBarrier, "return"), RT_ERROR_CASE(BarrierAfterReturn, "return"),
        RT_ERROR_CASE(CopyNotWaitedFor, "thread (9, 0, 0): returns with 1 cp.async copies"),
        RT_ERROR_CASE(CopyToGlobal, "not in one shared array"),
        RT_ERROR_CASE(CopyMisaligned, "not a multiple of 16"),
        RT_ERROR_CASE(RowMisaligned, "not a multiple of 16"),
        RT_ERROR_CASE(VectorMisaligned, "not a multiple of 16"),
        RT_ERROR_CASE(TakesDiffer, "another thread took"),
        RT_ERROR_CASE(TakesTooMuch, "of 1024 that the launch gave"),
        RT_ERROR_CASE(StaticTooLarge, "bytes of static shared memory of 49152"),
        RT_ERROR_CASE(OverrunStatic, "shared array numbers"),
        RT_ERROR_CASE(OverrunDynamic, "dynamic shared array 0"),
        RT_ERROR_CASE(UnderrunStatic, "shared array numbers"),
        RT_ERROR_CASE(Trap, "thread (2, 0, 0): __trap()"), RT_ERROR_CASE(Throws, "from a kernel")),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace rt::cuda::testing
