// Recorded work: what rt/core/graph.h promises, of whichever CUDA backend this program is linked with.
#include <cstring>
#include <functional>
#include <thread>

#include "rt/core/error.h"
#include "tests/cuda/graphs.h"

namespace rt {
namespace {

using testing::all_are;
using testing::bytes_of;

// A few bytes on the device that tests write by copies and fills.
struct Cell {
  Tensor memory{{64}, DType::U8, Device::cuda(0)};
  void fill(const Stream& stream, int byte) const {
    device_api(DeviceKind::Cuda).fill(memory.view.data, byte, memory.view.nbytes(), stream.native());
  }
  bool holds(unsigned char byte) const { return all_are(bytes_of(memory.view), byte); }
};

// The reason why `work` is not recorded; empty when it is. On a GPU some of what is not allowed throws where
// it is done.
std::string refusal(const Stream& stream, const std::function<void()>& work) {
  std::string why;
  const auto graph = DeviceGraph::record(
      stream,
      [&] {
        try {
          work();
        } catch (const Error&) {}
      },
      &why);
  EXPECT_EQ(graph.has_value(), why.empty()) << why;
  EXPECT_EQ(why.find('\n'), std::string::npos) << why;
  return why;
}

// After whatever went wrong, the stream works and can be recorded.
void expect_usable(const Stream& stream) {
  const Cell cell;
  cell.fill(stream, 3);
  stream.synchronize();
  EXPECT_TRUE(cell.holds(3));
  std::string why;
  const auto graph = DeviceGraph::record(
      stream, [&] { cell.fill(stream, 4); }, &why);
  ASSERT_TRUE(graph) << why;
  EXPECT_TRUE(cell.holds(3));
  graph->launch(stream);
  stream.synchronize();
  EXPECT_TRUE(cell.holds(4));
}

TEST(CudaGraph, RunsInOrder) {
  RT_NEEDS_GRAPHS();
  const Stream stream(Device::cuda(0));
  const Cell a, b;
  std::string why;
  const auto graph = DeviceGraph::record(
      stream,
      [&] {
        a.fill(stream, 1);
        copy(b.memory.view, a.memory.view, stream);
        a.fill(stream, 2);
      },
      &why);
  ASSERT_TRUE(graph) << why;
  EXPECT_TRUE(a.holds(0) && b.holds(0));
  graph->launch(stream);
  stream.synchronize();
  EXPECT_TRUE(a.holds(2) && b.holds(1));
}

TEST(CudaGraph, ReplaysOnAnyStreamAndOutlivesItsOwn) {
  RT_NEEDS_GRAPHS();
  const Cell cell;
  std::optional<DeviceGraph> graph;
  {
    const Stream stream(Device::cuda(0));
    std::string why;
    auto recorded = DeviceGraph::record(
        stream, [&] { cell.fill(stream, 7); }, &why);
    ASSERT_TRUE(recorded) << why;
    graph = std::move(recorded);
  }
  const Stream other(Device::cuda(0));
  graph->launch(other);
  other.synchronize();
  EXPECT_TRUE(cell.holds(7));
}

TEST(CudaGraph, OtherStreamsAndThreadsAreNotPartOfIt) {
  RT_NEEDS_GRAPHS();
  const Stream stream(Device::cuda(0)), other(Device::cuda(0)), third(Device::cuda(0));
  const Cell a, b, c;
  std::string why;
  const auto graph = DeviceGraph::record(
      stream,
      [&] {
        a.fill(stream, 1);
        b.fill(other, 2);
        std::thread([&] {
          c.fill(third, 3);
          third.synchronize();
        }).join();
      },
      &why);
  ASSERT_TRUE(graph) << why;
  EXPECT_TRUE(a.holds(0) && b.holds(2) && c.holds(3));
  b.fill(other, 4);
  other.synchronize();
  graph->launch(stream);
  stream.synchronize();
  EXPECT_TRUE(a.holds(1) && b.holds(4) && c.holds(3));
}

TEST(CudaGraph, PageLockedMemoryIsReadAtReplay) {
  RT_NEEDS_GRAPHS();
  const Stream stream(Device::cuda(0));
  const Cell cell;
  const std::size_t bytes = cell.memory.view.nbytes();
  void* const host = cuda::pinned_alloc(bytes);
  std::string why;
  const auto graph = DeviceGraph::record(
      stream, [&] { device_api(DeviceKind::Cuda).copy(cell.memory.view.data, host, bytes, stream.native()); },
      &why);
  ASSERT_TRUE(graph) << why;
  for (const unsigned char value : {5, 6}) {
    std::memset(host, value, bytes);
    graph->launch(stream);
    stream.synchronize();
    EXPECT_TRUE(cell.holds(value));
  }
  cuda::pinned_free(host);
}

TEST(CudaGraph, WaitingForItIsRefused) {
  RT_NEEDS_GRAPHS();
  const Stream stream(Device::cuda(0)), other(Device::cuda(0));
  const Cell cell, elsewhere;
  const auto refused = [&](const char* what, const std::function<void()>& wait) {
    SCOPED_TRACE(what);
    const std::string why = refusal(stream, [&] {
      cell.fill(stream, 1);
      wait();
      cell.fill(stream, 2);
    });
    EXPECT_NE(why, "");
    EXPECT_TRUE(cell.holds(0));
    expect_usable(stream);
  };
  refused("the host, for the stream", [&] { stream.synchronize(); });
  refused("the host, for the device", [&] { device_api(DeviceKind::Cuda).synchronize(0); });
  refused("the host, for a copy", [&] { bytes_of(cell.memory.view); });
  // Without work behind the wait a GPU may find that nothing is missing.
  refused("another stream, and the recorded one for it never", [&] {
    other.wait(stream.record());
    elsewhere.fill(other, 1);
  });
  EXPECT_EQ(refusal(stream, [&] { cell.fill(stream, 3); }), "");
}

TEST(CudaGraph, ThrowingWorkLeavesTheStreamUsable) {
  RT_NEEDS_GRAPHS();
  const Stream stream(Device::cuda(0));
  const Cell cell;
  std::string why = "untouched";
  EXPECT_THROW(DeviceGraph::record(
                   stream,
                   [&] {
                     cell.fill(stream, 1);
                     fail(Exit::Memory, "no room");
                   },
                   &why),
               Error);
  EXPECT_TRUE(cell.holds(0));
  expect_usable(stream);
}

TEST(CudaGraph, TheCpuHasNone) {
  const Stream stream(Device::cpu());
  std::string why;
  bool called = false;
  EXPECT_FALSE(DeviceGraph::record(
      stream, [&] { called = true; }, &why));
  EXPECT_EQ(why, "cpu has no graphs");
  EXPECT_FALSE(called);
}

#ifdef RT_CUDA_EMULATION
// A GPU may allow these, and what it replays then is not what was meant.
TEST(CudaGraph, TheEmulationNamesWhatWouldGoWrong) {
  const Stream stream(Device::cuda(0)), other(Device::cuda(0));
  const Cell cell;
  std::vector<unsigned char> host(cell.memory.view.nbytes(), 9);
  const DeviceApi& api = device_api(DeviceKind::Cuda);
  const auto expect = [&](const char* what, const std::function<void()>& work) {
    const std::string why = refusal(stream, work);
    EXPECT_NE(why.find(what), std::string::npos) << why;
    EXPECT_TRUE(cell.holds(0));
    expect_usable(stream);
  };
  const std::size_t bytes = host.size();
  std::byte* const at = cell.memory.view.data;
  expect("not page-locked", [&] { api.copy(at, host.data(), bytes, stream.native()); });
  expect("not page-locked", [&] { api.copy(host.data(), at, bytes, stream.native()); });
  expect("not page-locked", [&] { api.copy(at, at + 1, bytes, stream.native()); });  // past the end
  expect("freed", [&] { const Buffer gone(stream.device(), 8); });
  expect("freed", [] { cuda::pinned_free(cuda::pinned_alloc(8)); });
  expect("without a stream", [] { const Cell zeroed; });
  expect("waited for", [&] { stream.synchronize(); });
  expect("another stream", [&] { other.wait(stream.record()); });
  expect("not in the recording", [&] { stream.wait(other.record()); });
  EXPECT_TRUE(all_are(host, 9));
}

TEST(CudaGraph, WorkWithoutAStreamRunsAtOnce) {
  const Stream stream(Device::cuda(0));
  const Cell a, b, c;
  c.fill(stream, 2);
  stream.synchronize();
  std::string why;
  const auto graph = DeviceGraph::record(
      stream,
      [&] {
        a.fill(stream, 1);
        std::thread([&] {
          const Tensor host = copy_to(Device::cpu(), a.memory.view);
          EXPECT_EQ(element(host.view, 0), 0);
          copy(b.memory.view, c.memory.view);
        }).join();
      },
      &why);
  EXPECT_TRUE(graph) << why;  // another thread's does no harm, the recording thread's does
  EXPECT_TRUE(b.holds(2));
  EXPECT_NE(refusal(stream, [&] { copy(c.memory.view, a.memory.view); }), "");
  EXPECT_TRUE(a.holds(0) && c.holds(0));
}

TEST(CudaGraph, TheEmulationRecordsReplays) {
  const Stream stream(Device::cuda(0));
  const Cell cell;
  std::string why;
  const auto inner = DeviceGraph::record(
      stream, [&] { cell.fill(stream, 8); }, &why);
  ASSERT_TRUE(inner) << why;
  const auto outer = DeviceGraph::record(
      stream, [&] { inner->launch(stream); }, &why);
  ASSERT_TRUE(outer) << why;
  EXPECT_TRUE(cell.holds(0));
  outer->launch(stream);
  stream.synchronize();
  EXPECT_TRUE(cell.holds(8));
}

TEST(CudaGraph, TheEmulationRefusesMisuse) {
  const Stream stream(Device::cuda(0));
  const Cell cell;
  EXPECT_THROW(cuda::graph_begin(nullptr), Error);
  std::string why;
  EXPECT_EQ(cuda::graph_end(stream.native(), &why), nullptr);
  EXPECT_NE(why.find("not being recorded"), std::string::npos) << why;
  cuda::graph_begin(stream.native());
  EXPECT_THROW(cuda::graph_begin(stream.native()), Error);
  const Buffer allocated(stream.device(), 8);  // is allowed
  cell.fill(stream, 5);
  void* const graph = cuda::graph_end(stream.native(), &why);
  ASSERT_NE(graph, nullptr);
  EXPECT_TRUE(cell.holds(0));
  cuda::graph_destroy(graph);
  {
    const Stream gone(Device::cuda(0));
    cuda::graph_begin(gone.native());
  }
  expect_usable(Stream(Device::cuda(0)));  // perhaps at the same address
}
#endif

}  // namespace
}  // namespace rt
