// What users are told when the library, or a peer, fails; and that nothing waits for ever.
#include <atomic>
#include <chrono>

#include "tests/cuda/nccl/ranks.h"

namespace rt::testing {
namespace {

using dist::Communicator;
using dist::Milliseconds;
using dist::NcclOptions;
using Clock = std::chrono::steady_clock;

const std::string kAdvice = ". See the rank that failed first; NCCL_DEBUG=INFO says more.";

// Two ranks; the second calls like rank 0 `calls` times, and no more until rank 0 has seen what it came for.
void with_silent_peer(const NcclOptions& options, int calls, const std::function<void(Rank&)>& body) {
  std::atomic<bool> seen{false};
  const auto either = [&](Rank& r) {
    r.connect();
    if (r.rank == 0) {
      const std::unique_ptr<void, std::function<void(void*)>> at_end(&seen, [&](void*) { seen = true; });
      return body(r);
    }
    const Tensor mine = r.there(numbers<float>(1, 1000));
    for (int i = 0; i < calls; ++i) r.made->all_reduce(mine.view, {}, r.stream);
    while (!seen) std::this_thread::sleep_for(Milliseconds(5));
    r.made->abort();
  };
  with_ranks(2, either, options);
}

// Of a collective that fails on the device: first the stream ends, then there are words.
std::string words_after_stream(Rank& r, const Tensor& mine) {
  const auto ticket = r.made->all_reduce(mine.view, {}, r.stream);
  r.made->wait(ticket, r.stream);
  r.stream.synchronize();
  return words_of(Exit::Peer, [&] { r.made->wait(ticket, r.stream); });
}

void expect_all_fail_with(Rank& r, const Tensor& mine, const std::string& words) {
  const auto fails = [&](const std::function<void()>& call) { EXPECT_EQ(words_of(Exit::Peer, call), words); };
  fails([&] { r.made->all_reduce(mine.view, {}, r.stream); });
  fails([&] { r.made->broadcast(mine.view, 0, r.stream); });
  fails([&] { r.made->all_gather(mine.view.slice(0, 0, 500), mine.view, r.stream); });
  fails([&] { r.made->barrier(); });
  fails([&] { r.made->wait(Communicator::Ticket{1}, r.stream); });
}

void all_reduce(Rank& r, const Tensor& mine) {
  r.made->wait(r.made->all_reduce(mine.view, {}, r.stream), r.stream);
  r.stream.synchronize();
}

TEST_F(Nccl, APeerThatDoesNotComeIsATimeout) {
  with_silent_peer({.timeout = Milliseconds(600)}, 1, [](Rank& r) {
    const Tensor mine = r.there(numbers<float>(0, 1000));
    all_reduce(r, mine);
    const auto begin = Clock::now();
    const std::string words = words_after_stream(r, mine);
    EXPECT_GE(Clock::now() - begin, Milliseconds(590));
    EXPECT_TRUE(has(words,
                    "rank 0: all_reduce number 2 of 4000 bytes among 2 processes failed: it was not "
                    "done after 600 ms"))
        << words;
    expect_all_fail_with(r, mine, words);
  });
  EXPECT_EQ(count("ncclCommAbort", 0), 1);
}

// Also before anything is on the stream: NCCL connects to a peer when it first sends to it.
TEST_F(Nccl, APeerThatDoesNotConnectIsATimeout) {
  library().fault = NcclFault::NeverBegins;
  with_silent_peer({.timeout = Milliseconds(600)}, 1, [](Rank& r) {
    const Tensor mine = r.there(numbers<float>(0, 1000));
    const auto ticket = r.made->all_reduce(mine.view, {}, r.stream);
    const std::string words = words_of(Exit::Peer, [&] { r.made->wait(ticket, r.stream); });
    EXPECT_TRUE(has(words, "all_reduce number 1 of 4000 bytes among 2 processes failed: it was not done"))
        << words;
    expect_all_fail_with(r, mine, words);
  });
}

// The caller's own work before a collective is not the peers' fault.
TEST_F(Nccl, OnlyItsOwnTimeCounts) {
  const auto body = [](Rank& r) {
    Communicator& c = r.connect();
    const Tensor mine = r.there(numbers<float>(r.rank, 1000)), other = r.there(mine);
    fake_device::submit(r.stream.native(), [] { std::this_thread::sleep_for(Milliseconds(1500)); });
    c.all_reduce(mine.view, {}, r.stream);
    c.wait(c.all_reduce(other.view, {}, r.stream), r.stream);
    r.stream.synchronize();
    EXPECT_EQ(other.view.as<float>()[999], merged<float>(0, 2, 999));
    c.barrier();
  };
  with_ranks(2, body, {.timeout = Milliseconds(700)});
}

TEST_F(Nccl, ALostPeerIsSeenWhileItIsWaitedFor) {
  library().fault = NcclFault::RemoteError;
  library().fault_after = 1;
  with_silent_peer({}, 2, [](Rank& r) {
    const Tensor mine = r.there(numbers<float>(0, 1000));
    all_reduce(r, mine);
    const std::string words = words_after_stream(r, mine);
    EXPECT_EQ(
        words,
        "rank 0: all_reduce number 2 of 4000 bytes among 2 processes failed: NCCL 2.28.9: remote process "
        "exited or there was a network error (socket 7 closed)" +
            kAdvice);
    expect_all_fail_with(r, mine, words);
  });
}

TEST_F(Nccl, ACallThatFailsNamesItsCollective) {
  library().fault = NcclFault::CallFails;
  library().fault_after = 2;
  with_silent_peer({}, 2, [](Rank& r) {
    const Tensor mine = r.there(numbers<float>(0, 1000));
    r.made->all_reduce(mine.view, {}, r.stream);
    all_reduce(r, mine);
    const auto ticket = r.made->broadcast(mine.view, 0, r.stream);
    const std::string words = words_of(Exit::Peer, [&] { r.made->wait(ticket, r.stream); });
    EXPECT_EQ(
        words,
        "rank 0: broadcast number 3 of 4000 bytes among 2 processes failed: NCCL 2.28.9: internal error "
        "(socket 7 closed)" +
            kAdvice);
    expect_all_fail_with(r, mine, words);
  });
}

TEST_F(Nccl, CanBeGivenUpFromAnotherThread) {
  with_silent_peer({}, 0, [](Rank& r) {
    const Tensor mine = r.there(numbers<float>(0, 1000));
    const auto ticket = r.made->all_reduce(mine.view, {}, r.stream);
    r.made->wait(ticket, r.stream);
    std::thread other([&] {
      std::this_thread::sleep_for(Milliseconds(50));
      r.made->abort();
    });
    r.stream.synchronize();  // what hangs there ends
    const std::string words = words_of(Exit::Peer, [&] { r.made->wait(ticket, r.stream); });
    other.join();
    EXPECT_EQ(words, "rank 0: all_reduce number 1 of 4000 bytes among 2 processes failed: it was given up");
    expect_all_fail_with(r, mine, words);
  });
  EXPECT_EQ(count("ncclCommAbort", 0), 1);
  EXPECT_EQ(count("ncclCommFinalize", 0), 0);
}

TEST_F(Nccl, ABarrierCanBeGivenUp) {
  with_silent_peer({}, 0, [](Rank& r) {
    std::thread other([&] {
      std::this_thread::sleep_for(Milliseconds(50));
      r.made->abort();
    });
    const std::string words = words_of(Exit::Peer, [&] { r.made->barrier(); });
    other.join();
    EXPECT_TRUE(has(words, "barrier number 1 of 2 bytes among 2 processes failed: it was given up")) << words;
  });
}

TEST_F(Nccl, AnAbortThatHangsIsLeftAlone) {
  library().fault = NcclFault::AbortHangs;
  with_silent_peer({.close = Milliseconds(300)}, 0, [](Rank& r) {
    const Tensor mine = r.there(numbers<float>(0, 1000));
    const auto ticket = r.made->all_reduce(mine.view, {}, r.stream);
    r.made->wait(ticket, r.stream);
    const auto begin = Clock::now();
    r.made->abort();
    const auto took = Clock::now() - begin;
    EXPECT_GE(took, Milliseconds(250));
    EXPECT_LT(took, Milliseconds(3000));
    EXPECT_TRUE(has(words_of(Exit::Peer, [&] { r.made->wait(ticket, r.stream); }), "it was given up"));
    library().reset();  // the abort goes on, and the streams end
    r.stream.synchronize();
  });
}

TEST_F(Nccl, WhatIsLeftUnderWayIsEndedInTime) {
  with_silent_peer({.close = Milliseconds(300)}, 0, [](Rank& r) {
    const Tensor mine = r.there(numbers<float>(0, 1000));
    r.made->wait(r.made->all_reduce(mine.view, {}, r.stream), r.stream);
    r.made->all_reduce(mine.view, {}, r.stream);
    const auto begin = Clock::now();
    r.made.reset();
    EXPECT_LT(Clock::now() - begin, Milliseconds(3000));
  });
  EXPECT_EQ(count("ncclCommAbort", 0), 1);
}

TEST_F(Nccl, AnEndThatHangsIsLeftAlone) {
  library().fault = NcclFault::FinalizeHangs;
  const auto body = [](Rank& r) {
    r.connect().barrier();
    const auto begin = Clock::now();
    r.made.reset();
    EXPECT_LT(Clock::now() - begin, Milliseconds(3000));
  };
  with_ranks(1, body, {.close = Milliseconds(200)});
  EXPECT_EQ(count("ncclCommDestroy", 0), 0);
  EXPECT_EQ(count("ncclCommAbort", 0), 1);
}

TEST_F(Nccl, ConnectingThatNeverEndsIsATimeout) {
  library().fault = NcclFault::InitNeverEnds;
  const auto body = [](Rank& r) {
    if (r.rank == 1) return void(r.connect());
    const auto begin = Clock::now();
    const std::string words = words_of(Exit::Peer, [&] { r.connect(); });
    EXPECT_LT(Clock::now() - begin, Milliseconds(5000));
    EXPECT_TRUE(has(words, "rank 0 cannot reach all 2 processes within 1000 ms: NCCL 2.28.9")) << words;
    EXPECT_TRUE(has(words, "NCCL_SOCKET_IFNAME")) << words;
  };
  with_ranks(2, body, {.connect = Milliseconds(1000)});
  EXPECT_EQ(count("ncclCommAbort", 0), 1);
  EXPECT_EQ(count("ncclCommAbort", 1), 0);
}

TEST_F(Nccl, ConnectingThatFailsSaysWhy) {
  library().fault = NcclFault::InitFails;
  with_ranks(2, [](Rank& r) {
    if (r.rank == 1) return void(r.connect());
    const std::string words = words_of(Exit::Peer, [&] { r.connect(); });
    EXPECT_TRUE(has(words, "rank 0 cannot reach all 2 processes: NCCL 2.28.9: remote process exited"))
        << words;
  });
  EXPECT_EQ(count("ncclCommAbort", 0), 1);
}

TEST_F(Nccl, ARankZeroThatDoesNotComeIsATimeout) {
  const auto body = [](Rank& r) {
    if (r.rank == 0) return;
    const std::string words = words_of(Exit::Peer, [&] { r.connect(); });
    EXPECT_TRUE(has(words, "rank 1 of 2: rank 0 did not say within 300 ms")) << words;
  };
  with_ranks(2, body, {.connect = Milliseconds(300)});
}

TEST_F(Nccl, AllHaveTheSameVersion) {
  const auto body = [](Rank& r) {
    if (r.rank == 0) return void(words_of(Exit::Peer, [&] { r.connect(); }));  // the other does not come
    while (!r.store.get("nccl/id")) std::this_thread::sleep_for(Milliseconds(5));
    library().version = 22703;
    const std::string words = words_of(Exit::Config, [&] { r.connect(); });
    EXPECT_TRUE(has(words, "rank 1 has NCCL 2.27.3 (")) << words;
    EXPECT_TRUE(has(words, "), rank 0 has 2.28.9. Install the same one")) << words;
  };
  with_ranks(2, body, {.connect = Milliseconds(500)});
}

std::string words_of_library() {
  std::string words;
  with_ranks(1, [&](Rank& r) { words = words_of(Exit::Config, [&] { r.connect(); }); });
  return words;
}

TEST_F(Nccl, WhereThereIsNoneItSaysWhatToInstall) {
  ::setenv("RT_NCCL_LIBRARY", "/nowhere/libnccl.so.2", 1);
  const std::string words = words_of_library();
  EXPECT_TRUE(has(words, "cannot be loaded: /nowhere/libnccl.so.2: ")) << words;
  EXPECT_TRUE(has(words, "Install NCCL (libnccl2), or set RT_NCCL_LIBRARY")) << words;
}

TEST_F(Nccl, OneThatIsTooOldIsRefused) {
  library().version = 21703;
  EXPECT_TRUE(has(words_of_library(), " is NCCL 2.17.3, but 2.18 or newer is needed"));
  library().version = 2804;  // as it was counted then
  EXPECT_TRUE(has(words_of_library(), " is NCCL 2.8.4, but 2.18 or newer is needed"));
}

TEST_F(Nccl, OneThatLacksACallIsRefused) {
  ::setenv("RT_NCCL_LIBRARY", RT_FAKE_NCCL_INCOMPLETE, 1);
  const std::string words = words_of_library();
  EXPECT_TRUE(has(words, "has no ncclGroupEnd: it is no NCCL, or too old. Install NCCL")) << words;
}

}  // namespace
}  // namespace rt::testing
