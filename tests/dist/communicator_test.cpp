#include "rt/dist/communicator.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "tests/dist/peer_error.h"
#include "tests/support/rank_numbers.h"

namespace rt::dist {
namespace {

using rt::testing::merged;
using rt::testing::number;
using rt::testing::numbers;
using rt::testing::Wire;

const Stream& cpu() {
  static const Stream stream(Device::cpu());
  return stream;
}

// Ranks as threads of this process, each with its own connection.
void with_ranks(int size, const std::function<void(Communicator&)>& body, GlooOptions options = {}) {
  StoreServer server(0);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      Store store("127.0.0.1", server.port(), Milliseconds(20'000));
      try {
        body(*gloo_communicator(store, rank, size, options));
      } catch (const std::exception& e) { ADD_FAILURE() << "rank " << rank << ": " << e.what(); }
    });
  }
  for (std::thread& t : threads) t.join();
}

// A peer that is gone must be an error with words, whichever side notices first.
TEST(CommunicatorDist, ABrokenConnectionIsNoSignal) {
  with_ranks(2, [](Communicator& c) {
    c.barrier();
    struct sigaction now {};
    ASSERT_EQ(sigaction(SIGPIPE, nullptr, &now), 0);
    EXPECT_EQ(now.sa_handler, SIG_IGN);
  });
}

class Sizes : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(CommunicatorDist, Sizes, ::testing::Values(2, 3, 4, 5));

TEST_P(Sizes, SumsAreThoseOfATree) {
  const int W = GetParam();
  with_ranks(W, [&](Communicator& c) {
    for (const std::int64_t n : {1, 2, 7, 64, 1000, 700'001}) {
      const Tensor f = numbers<float>(c.rank(), n), d = numbers<double>(c.rank(), n);
      c.all_reduce(f.view, {}, cpu());
      c.wait(c.all_reduce(d.view, {}, cpu()), cpu());
      std::int64_t wrong = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        wrong += f.view.as<float>()[i] != merged<float>(0, W, i);
        wrong += d.view.as<double>()[i] != merged<double>(0, W, i);
      }
      EXPECT_EQ(wrong, 0) << n;
    }
  });
}

TEST_P(Sizes, AShardIsItsPartOfTheSum) {
  const int W = GetParam();
  with_ranks(W, [&](Communicator& c) {
    for (const std::int64_t n : {1, 65, 300'000}) {
      const Tensor in = numbers<float>(c.rank(), n * W), again = numbers<float>(c.rank(), n * W);
      const Tensor out({n}, DType::F32);
      c.reduce_scatter(in.view, out.view, {}, cpu());
      const TensorView own = again.view.slice(0, c.rank() * n, (c.rank() + 1) * n);
      c.wait(c.reduce_scatter(again.view, own, {}, cpu()), cpu());
      std::int64_t wrong = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const float sum = merged<float>(0, W, c.rank() * n + i);
        wrong += out.view.as<float>()[i] != sum;
        wrong += own.as<float>()[i] != sum;
      }
      EXPECT_EQ(wrong, 0) << n;
    }
  });
}

TEST_P(Sizes, NarrowTrafficIsRoundedAndSummedInF32) {
  const int W = GetParam();
  with_ranks(W, [&](Communicator& c) {
    constexpr std::int64_t n = 300'007;
    const Tensor all = numbers<float>(c.rank(), n), in = numbers<float>(c.rank(), n * W);
    const Tensor out({n}, DType::F32);
    c.all_reduce(all.view, {.wire = DType::BF16}, cpu());
    c.wait(c.reduce_scatter(in.view, out.view, {.wire = DType::BF16}, cpu()), cpu());
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      wrong += all.view.as<float>()[i] != static_cast<float>(bf16(merged<float>(0, W, i, Wire::Narrow)));
      wrong += out.view.as<float>()[i] != merged<float>(0, W, c.rank() * n + i, Wire::Narrow);
    }
    EXPECT_EQ(wrong, 0);
  });
}

TEST_P(Sizes, GatherBroadcastAndMax) {
  const int W = GetParam();
  with_ranks(W, [&](Communicator& c) {
    constexpr std::int64_t n = 4'321;
    const Tensor part = numbers<float>(c.rank(), n), all({n * W}, DType::F32), in_place({n * W}, DType::F32);
    const TensorView own = in_place.view.slice(0, c.rank() * n, (c.rank() + 1) * n);
    std::copy_n(part.view.as<float>(), n, own.as<float>());
    c.all_gather(part.view, all.view, cpu());
    c.wait(c.all_gather(own, in_place.view, cpu()), cpu());
    for (int r = 0; r < W; ++r) {
      for (std::int64_t i = 0; i < n; i += 97) {
        ASSERT_EQ(all.view.as<float>()[r * n + i], number<float>(r, i));
        ASSERT_EQ(in_place.view.as<float>()[r * n + i], number<float>(r, i));
      }
    }
    for (int root = 0; root < W; ++root) {
      const Tensor said = numbers<double>(c.rank(), 1000);
      c.wait(c.broadcast(said.view, root, cpu()), cpu());
      EXPECT_EQ(said.view.as<double>()[999], number<double>(root, 999));
    }
    const Tensor most = numbers<float>(c.rank(), 5);
    c.wait(c.all_reduce(most.view, {.op = ReduceOp::Max}, cpu()), cpu());
    for (std::int64_t i = 0; i < 5; ++i) {
      float expected = number<float>(0, i);
      for (int r = 1; r < W; ++r) expected = std::max(expected, number<float>(r, i));
      EXPECT_EQ(most.view.as<float>()[i], expected);
    }
    c.barrier();
  });
}

TEST(CommunicatorDist, RunsBesideItsCaller) {
  with_ranks(2, [](Communicator& c) {
    const Tensor mine = numbers<float>(c.rank(), 10);
    // Were rank 0's call to wait for rank 1's, this would never end: rank 1 calls after it has heard of it.
    static std::atomic<bool> called{false};
    if (c.rank() == 1)
      while (!called) std::this_thread::yield();
    const auto ticket = c.all_reduce(mine.view, {}, cpu());
    called = true;
    c.wait(ticket, cpu());
    EXPECT_EQ(mine.view.as<float>()[9], merged<float>(0, 2, 9));
  });
}

TEST(CommunicatorDist, ALostPeerIsAnErrorOfAllThatFollows) {
  with_ranks(3, [](Communicator& c) {
    c.barrier();
    if (c.rank() == 2) return;  // its connections close
    const Tensor mine = numbers<float>(c.rank(), 1000);
    const auto first = c.all_reduce(mine.view, {}, cpu());
    const std::string words = peer_error([&] { c.wait(first, cpu()); });
    EXPECT_NE(words.find("all_reduce number 2 of 4000 bytes among 3 processes failed"), std::string::npos)
        << words;
    EXPECT_EQ(peer_error([&] { c.all_reduce(mine.view, {}, cpu()); }), words);
  });
}

TEST(CommunicatorDist, APeerThatDoesNotComeIsATimeout) {
  with_ranks(2,
             [](Communicator& c) {
               if (c.rank() == 1) return std::this_thread::sleep_for(Milliseconds(1500));
               const Tensor mine = numbers<float>(0, 10);
               const auto ticket = c.all_reduce(mine.view, {}, cpu());
               const std::string words = peer_error([&] { c.wait(ticket, cpu()); });
               EXPECT_NE(words.find("rank 0: all_reduce number 1"), std::string::npos) << words;
             },
             {.timeout = Milliseconds(300)});
}

TEST(CommunicatorDist, CanBeGivenUp) {
  with_ranks(2, [](Communicator& c) {
    if (c.rank() == 1) return std::this_thread::sleep_for(Milliseconds(500));
    const Tensor mine = numbers<float>(0, 10);
    const auto ticket = c.all_reduce(mine.view, {}, cpu());
    std::thread other([&] {
      std::this_thread::sleep_for(Milliseconds(100));
      c.abort();
    });
    const std::string words = peer_error([&] { c.wait(ticket, cpu()); });
    other.join();
    EXPECT_NE(words.find("given up"), std::string::npos) << words;
  });
}

TEST(Communicator, OfOneIsFree) {
  const auto c = single_communicator();
  EXPECT_EQ(c->size(), 1);
  const Tensor in = numbers<float>(3, 10), out({10}, DType::F32);
  c->wait(c->reduce_scatter(in.view, out.view, {}, cpu()), cpu());
  EXPECT_EQ(out.view.as<float>()[9], number<float>(3, 9));
  c->barrier();
}

}  // namespace
}  // namespace rt::dist
