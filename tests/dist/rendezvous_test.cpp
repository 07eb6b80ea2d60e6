#include "rt/dist/rendezvous.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "rt/core/error.h"

namespace rt::dist {
namespace {

constexpr Milliseconds kSoon(10'000);

// What each of these processes, which are threads here, comes to.
std::vector<std::string> all_join(std::vector<Launch> launches, const std::vector<Member>& members,
                                  Milliseconds timeout, Exit code) {
  StoreServer server(0);
  std::vector<std::string> said(members.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < members.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        Store store("127.0.0.1", server.port(), kSoon);
        join(store, launches[i], members[i], timeout);
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), code) << e.what();
        said[i] = e.what();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  return said;
}

std::vector<Launch> ranks(int n, int world) {
  std::vector<Launch> all;
  for (int r = 0; r < n; ++r) all.push_back({r, world, 0, 1, "torchrun", "h", 1});
  return all;
}

Member member(const std::string& machine, const std::string& config = "c1", const std::string& gpu = "") {
  Member m{machine, {{"build", "b"}, {"configuration", config}}, {}};
  if (!gpu.empty()) m.different["GPU"] = gpu;
  return m;
}

TEST(Rendezvous, AllThatAgreeGoOn) {
  const std::vector<Member> four = {member("a", "c1", "u0"), member("a", "c1", "u1"), member("b", "c1", "u2"),
                                    member("b")};
  for (const std::string& said : all_join(ranks(4, 4), four, kSoon, Exit::Ok)) EXPECT_EQ(said, "");
  EXPECT_EQ(all_join(ranks(1, 1), {member("a")}, kSoon, Exit::Ok).front(), "");
}

TEST(Rendezvous, NamesWhoIsMissing) {
  std::vector<Launch> some;
  for (const int r : {0, 1, 4}) some.push_back({r, 9, 0, 1, "Slurm", "h", 1});
  for (const std::string& said :
       all_join(some, std::vector<Member>(3, member("a")), Milliseconds(300), Exit::Peer)) {
    EXPECT_NE(said.find("for 9 ranks at 127.0.0.1:"), std::string::npos) << said;
    EXPECT_NE(said.find("; have 3. Missing: 2-3, 5-8. Source of the world size: Slurm."), std::string::npos)
        << said;
  }
}

TEST(Rendezvous, NamesWhoDiffers) {
  const std::vector<Member> four = {member("a"), member("b"), member("c", "c2"), member("d", "c2")};
  for (const std::string& said : all_join(ranks(4, 4), four, kSoon, Exit::Config)) {
    EXPECT_EQ(said,
              "configuration differs: rank 0 (a) has c1, ranks 2-3 (c, ...) have c2. All processes of a run "
              "need the same.");
  }
  std::vector<Member> two = {member("a"), member("b")};
  two[1].same.erase("build");
  for (const std::string& said : all_join(ranks(2, 2), two, kSoon, Exit::Config))
    EXPECT_EQ(said.find("build differs: rank 0 (a) has b, rank 1 (b) have none"), 0u) << said;
}

TEST(Rendezvous, TwoOnOneGpuAreRefused) {
  const std::vector<Member> three = {member("a", "c", "GPU-1"), member("a", "c", "GPU-2"),
                                     member("a", "c", "GPU-1")};
  for (const std::string& said : all_join(ranks(3, 3), three, kSoon, Exit::Config))
    EXPECT_EQ(said.find("ranks 0 and 2 on a both use GPU GPU-1."), 0u) << said;
}

TEST(Rendezvous, OneRankTwiceIsRefused) {
  std::vector<Launch> launches = ranks(2, 3);
  launches[1].rank = 0;
  StoreServer server(0);
  Store store("127.0.0.1", server.port(), kSoon);
  std::thread first([&] {
    Store mine("127.0.0.1", server.port(), kSoon);
    EXPECT_THROW(join(mine, launches[0], member("a"), Milliseconds(500)), Error);
  });
  while (!store.get("join/0", kSoon)) {}
  try {
    join(store, launches[1], member("b"), kSoon);
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()),
              "two processes are rank 0 of 3 (from torchrun): on a and on b. Start each rank once.");
  }
  first.join();
}

TEST(Rendezvous, Ranges) {
  EXPECT_EQ(ranges({}), "");
  EXPECT_EQ(ranges(std::vector<int>{7}), "7");
  EXPECT_EQ(ranges(std::vector<int>{0, 1, 2, 3, 5, 8, 9}), "0-3, 5, 8-9");
}

}  // namespace
}  // namespace rt::dist
