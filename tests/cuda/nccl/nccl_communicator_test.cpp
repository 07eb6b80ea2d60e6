// What ranks compute together, over a library and devices that are threads.
#include <dlfcn.h>

#include <atomic>
#include <set>
#include <stdexcept>

#include "tests/cuda/nccl/ranks.h"

namespace rt::testing {

FakeNccl& library() {
  static FakeNccl* const found = [] {
    void* const handle = dlopen(RT_FAKE_NCCL, RTLD_NOW | RTLD_LOCAL);
    if (!handle) throw std::runtime_error(dlerror());
    auto* const fake = reinterpret_cast<decltype(&fake_nccl)>(dlsym(handle, "fake_nccl"))();
    fake->submit = fake_device::submit;
    fake->device = fake_device::current;
    return fake;
  }();
  return *found;
}

namespace {

using dist::Communicator;
using dist::ReduceOp;
using dist::SumOrder;

constexpr std::size_t kLittle = 4096;  // of staging: chunks of a few hundred columns

class NcclRanks : public Nccl, public ::testing::WithParamInterface<int> {
 protected:
  const int W = GetParam();
};
INSTANTIATE_TEST_SUITE_P(Sizes, NcclRanks, ::testing::Values(1, 2, 3, 4, 5, 7));

template <class T>
std::int64_t wrong(const TensorView& got, const std::function<T(std::int64_t)>& want) {
  std::int64_t n = 0;
  for (std::int64_t i = 0; i < got.numel(); ++i) n += got.as<T>()[i] != want(i);
  return n;
}

TEST_P(NcclRanks, SumsAreThoseOfATree) {
  const auto body = [&](Rank& r) {
    Communicator& c = r.connect();
    for (const std::int64_t n : {1, 7, 64, 1000, 16'385, 30'011}) {
      for (const ReduceOp op : {ReduceOp::Sum, ReduceOp::Max}) {
        const Tensor f = r.there(numbers<float>(r.rank, n)), d = r.there(numbers<double>(r.rank, n));
        const Tensor narrow = r.there(f);
        c.all_reduce(f.view, {op}, r.stream);
        c.all_reduce(narrow.view, {op, DType::BF16}, r.stream);
        c.wait(c.all_reduce(d.view, {op}, r.stream), r.stream);
        r.stream.synchronize();
        const auto in_f32 = [&](auto i) { return merged<float>(0, W, i, Wire::Same, op); };
        const auto in_f64 = [&](auto i) { return merged<double>(0, W, i, Wire::Same, op); };
        const auto sent_on = [&](auto i) {
          return static_cast<float>(bf16(merged<float>(0, W, i, Wire::Narrow, op)));
        };
        EXPECT_EQ(wrong<float>(f.view, in_f32), 0) << n;
        EXPECT_EQ(wrong<double>(d.view, in_f64), 0) << n;
        EXPECT_EQ(wrong<float>(narrow.view, sent_on), 0) << n;
      }
    }
  };
  with_ranks(W, body, {.staging = kLittle});
}

TEST_P(NcclRanks, AShardIsItsPartOfTheSum) {
  const auto body = [&](Rank& r) {
    Communicator& c = r.connect();
    for (const std::int64_t n : {1, 65, 3'001}) {
      const Tensor in = r.there(numbers<float>(r.rank, n * W)), again = r.there(in), narrow = r.there(in);
      const Tensor wide = r.there(numbers<double>(r.rank, n * W));
      const Tensor out = r.zeros(n), narrow_out = r.zeros(n), wide_out = r.zeros(n, DType::F64);
      const TensorView own = again.view.slice(0, r.rank * n, (r.rank + 1) * n);
      c.reduce_scatter(in.view, out.view, {}, r.stream);
      c.reduce_scatter(again.view, own, {}, r.stream);
      c.reduce_scatter(wide.view, wide_out.view, {}, r.stream);
      c.wait(c.reduce_scatter(narrow.view, narrow_out.view, {.wire = DType::BF16}, r.stream), r.stream);
      r.stream.synchronize();
      const auto sum = [&](auto i) { return merged<float>(0, W, r.rank * n + i); };
      const auto in_f64 = [&](auto i) { return merged<double>(0, W, r.rank * n + i); };
      const auto rounded = [&](auto i) { return merged<float>(0, W, r.rank * n + i, Wire::Narrow); };
      EXPECT_EQ(wrong<float>(out.view, sum), 0) << n;
      EXPECT_EQ(wrong<float>(own, sum), 0) << n;
      EXPECT_EQ(wrong<double>(wide_out.view, in_f64), 0) << n;
      EXPECT_EQ(wrong<float>(narrow_out.view, rounded), 0) << n;
    }
  };
  with_ranks(W, body, {.staging = kLittle});
}

TEST_P(NcclRanks, AllGatherOfEveryType) {
  with_ranks(W, [&](Rank& r) {
    Communicator& c = r.connect();
    EXPECT_EQ(c.rank(), r.rank);
    EXPECT_EQ(c.size(), W);
    constexpr std::int64_t n = 321;
    for (const DType dtype : {DType::F64, DType::F32, DType::BF16, DType::I32, DType::U8}) {
      const Tensor part({n}, dtype, r.device), all({n * W}, dtype, r.device);
      const Tensor in_place({n * W}, dtype, r.device);
      const TensorView own = in_place.view.slice(0, r.rank * n, (r.rank + 1) * n);
      for (const TensorView& mine : {part.view, own})
        device_api(DeviceKind::Cuda).fill(mine.data, r.rank + 1, mine.nbytes(), nullptr);
      c.all_gather(part.view, all.view, r.stream);
      c.wait(c.all_gather(own, in_place.view, r.stream), r.stream);
      r.stream.synchronize();
      std::size_t others = 0;
      for (std::size_t i = 0; i < all.view.nbytes(); ++i) {
        others += all.view.data[i] != std::byte(i / part.view.nbytes() + 1);
        others += in_place.view.data[i] != std::byte(i / part.view.nbytes() + 1);
      }
      EXPECT_EQ(others, 0u) << name(dtype);
    }
  });
}

TEST_P(NcclRanks, BroadcastAndBarrier) {
  static std::atomic<int> arrived;
  arrived = 0;
  with_ranks(W, [&](Rank& r) {
    Communicator& c = r.connect();
    for (int root = 0; root < W; ++root) {
      const Tensor said = r.there(numbers<double>(r.rank, 1000));
      c.wait(c.broadcast(said.view, root, r.stream), r.stream);
      r.stream.synchronize();
      EXPECT_EQ(said.view.as<double>()[999], number<double>(root, 999));
    }
    std::this_thread::sleep_for(dist::Milliseconds(10 * r.rank));
    ++arrived;
    c.barrier();
    EXPECT_EQ(arrived, W);
    const Tensor none({0}, DType::F32, r.device);
    c.wait(c.all_reduce(none.view, {}, r.stream), r.stream);
  });
}

// In the library's own order, but for what is narrower on the wire.
TEST_F(Nccl, TheLibraryMaySum) {
  const auto body = [&](Rank& r) {
    Communicator& c = r.connect();
    constexpr std::int64_t n = 1001;
    const Tensor all = r.there(numbers<float>(r.rank, n)), parts = r.there(numbers<float>(r.rank, 3 * n));
    const Tensor most = r.there(numbers<double>(r.rank, n)), narrow = r.there(all), shard = r.zeros(n);
    c.all_reduce(all.view, {}, r.stream);
    c.reduce_scatter(parts.view, shard.view, {}, r.stream);
    c.all_reduce(most.view, {ReduceOp::Max}, r.stream);
    c.wait(c.all_reduce(narrow.view, {.wire = DType::BF16}, r.stream), r.stream);
    r.stream.synchronize();
    const auto sum = [&](auto i) { return number<float>(2, i) + number<float>(1, i) + number<float>(0, i); };
    const auto max = [&](auto i) { return merged<double>(0, 3, i, Wire::Same, ReduceOp::Max); };
    const auto rounded = [&](auto i) {
      return static_cast<float>(bf16(merged<float>(0, 3, i, Wire::Narrow)));
    };
    EXPECT_EQ(wrong<float>(all.view, sum), 0);
    EXPECT_EQ(wrong<float>(shard.view, [&](auto i) { return sum(r.rank * n + i); }), 0);
    EXPECT_EQ(wrong<double>(most.view, max), 0);
    EXPECT_EQ(wrong<float>(narrow.view, rounded), 0);
  };
  with_ranks(3, body, {.order = SumOrder::Library});
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(count("ncclAllReduce", rank), 2);
    EXPECT_EQ(count("ncclReduceScatter", rank), 1);
  }
}

// A chunk of a shard: one group, in which each rank sends to all others, in F32 or BF16.
TEST_F(Nccl, AShardIsSentInGroups) {
  constexpr std::int64_t n = 700;  // there is room for 341 columns: chunks of 320, 320 and 60
  for (const DType wire : {DType::F32, DType::BF16}) {
    library().reset();
    const auto body = [&](Rank& r) {
      const Tensor in = r.there(numbers<float>(r.rank, 3 * n)), out = r.zeros(n);
      Communicator& c = r.connect();
      c.wait(c.reduce_scatter(in.view, out.view, {.wire = wire}, r.stream), r.stream);
      r.stream.synchronize();
    };
    with_ranks(3, body, {.staging = kLittle});
    std::vector<std::string> want = {"ncclCommInitRankConfig"};
    for (const int now : {320, 320, 60}) {
      want.push_back("ncclGroupStart");
      for (const int to : {2, 0}) {
        const std::string all = " " + std::to_string(now) + (wire == DType::F32 ? " 7 " : " 9 ");
        want.push_back("ncclSend" + all + std::to_string(to));
        want.push_back("ncclRecv" + all + std::to_string(2 - to));
      }
      want.push_back("ncclGroupEnd");
    }
    std::vector<std::string> got;
    for (const NcclCall& c : calls_of(1)) {
      std::string text = c.name;
      if (c.count > 0)
        text += " " + std::to_string(c.count) + " " + std::to_string(c.type) + " " + std::to_string(c.peer);
      if (c.name != "ncclCommFinalize" && c.name != "ncclCommDestroy") got.push_back(text);
    }
    EXPECT_EQ(got, want) << name(wire);
    EXPECT_EQ(count("ncclCommFinalize", 1), 1);
    EXPECT_EQ(count("ncclCommDestroy", 1), 1);
    EXPECT_EQ(count("ncclCommAbort", 1), 0);
  }
}

// The collective waits for what the caller's stream held, and what the stream holds after wait() for it.
TEST_F(Nccl, StreamsComeInOrder) {
  for (int repeat = 0; repeat < 5; ++repeat) {
    with_ranks(2, [&](Rank& r) {
      Communicator& c = r.connect();
      constexpr std::int64_t n = 100;
      const Tensor value = r.zeros(n), seen = r.zeros(n), source = r.there(numbers<float>(r.rank, n));
      fake_device::submit(r.stream.native(), [&] {
        std::this_thread::sleep_for(dist::Milliseconds(5 + 10 * r.rank));
        std::copy_n(source.view.as<float>(), n, value.view.as<float>());
      });
      const auto ticket = c.all_reduce(value.view, {}, r.stream);
      c.wait(ticket, r.stream);
      copy(seen.view, value.view, r.stream);
      r.stream.synchronize();
      EXPECT_EQ(wrong<float>(seen.view, [](auto i) { return merged<float>(0, 2, i); }), 0);
      std::set<const void*> streams;
      for (const NcclCall& call : calls_of(r.rank))
        if (call.stream) streams.insert(call.stream);
      EXPECT_EQ(streams.size(), 1u);
      EXPECT_EQ(streams.count(r.stream.native()), 0u);
    });
    library().reset();
  }
}

TEST_F(Nccl, RunsBesideItsCallerAndStream) {
  static std::atomic<bool> went_on;
  went_on = false;
  with_ranks(2, [](Rank& r) {
    Communicator& c = r.connect();
    const Tensor mine = r.there(numbers<float>(r.rank, 10));
    // Were rank 0, or its stream, to wait for rank 1's call, this would never end.
    while (r.rank == 1 && !went_on) std::this_thread::yield();
    const auto ticket = c.all_reduce(mine.view, {}, r.stream);
    fake_device::submit(r.stream.native(), [] { went_on = true; });
    while (!went_on) std::this_thread::yield();
    c.wait(ticket, r.stream);
    r.stream.synchronize();
    EXPECT_EQ(mine.view.as<float>()[9], merged<float>(0, 2, 9));
  });
}

// What ranks say on one does not wait for, nor meet, what they say on the other.
TEST_F(Nccl, ASecondCommunicatorIsItsOwn) {
  const auto body = [](Rank& r) {
    r.connect("data");
    const std::unique_ptr<Communicator> data = std::move(r.made);
    // Time for the other to take what was said for the first for what is said for the second.
    if (r.rank == 0) std::this_thread::sleep_for(dist::Milliseconds(50));
    Communicator& control = r.connect("control");
    const Tensor large = r.there(numbers<float>(r.rank, 1000)), small = r.there(numbers<double>(r.rank, 3));
    const Stream aside(r.device);
    Communicator::Ticket pending{};
    if (r.rank == 0) pending = data->all_reduce(large.view, {}, r.stream);
    control.wait(control.all_reduce(small.view, {}, aside), aside);
    aside.synchronize();
    EXPECT_EQ(small.view.as<double>()[2], merged<double>(0, 2, 2));
    control.barrier();
    if (r.rank == 1) pending = data->all_reduce(large.view, {}, r.stream);
    data->wait(pending, r.stream);
    r.stream.synchronize();
    EXPECT_EQ(large.view.as<float>()[999], merged<float>(0, 2, 999));
  };
  with_ranks(2, body, {.connect = dist::Milliseconds(3000)});
  EXPECT_EQ(count("ncclCommInitRankConfig", 0), 2);
  EXPECT_EQ(count("ncclCommInitRankConfig", 1), 2);
}

TEST_F(Nccl, MistakesOfTheCallerAreRefused) {
  with_ranks(1, [](Rank& r) {
    Communicator& c = r.connect();
    const Tensor f = r.zeros(6), i = r.zeros(6, DType::I32), host({6}, DType::F32);
    const Stream cpu(Device::cpu());
    EXPECT_THROW(c.all_reduce(i.view, {}, r.stream), Error);
    EXPECT_THROW(c.all_reduce(f.view, {.wire = DType::U8}, r.stream), Error);
    EXPECT_THROW(c.all_reduce(host.view, {}, r.stream), Error);
    EXPECT_THROW(c.all_reduce(f.view, {}, cpu), Error);
    EXPECT_THROW(c.all_gather(f.view.slice(0, 0, 5), f.view, r.stream), Error);
    EXPECT_THROW(c.broadcast(f.view, 1, r.stream), Error);
    EXPECT_THROW(c.wait(Communicator::Ticket{1}, r.stream), Error);
  });
}

}  // namespace
}  // namespace rt::testing
