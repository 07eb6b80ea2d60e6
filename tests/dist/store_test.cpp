#include "rt/dist/store.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>
#include <vector>

#include "dist/socket.h"
#include "rt/core/error.h"
#include "tests/dist/peer_error.h"

namespace rt::dist {
namespace {

using std::chrono::steady_clock;
constexpr Milliseconds kSoon(10'000), kShort(50);

TEST(Store, KeepsWhatItIsTold) {
  StoreServer server(0);
  Store store("127.0.0.1", server.port(), kSoon), other("localhost", server.port(), kSoon);
  EXPECT_EQ(store.get("a"), std::nullopt);
  store.set("a", "1");
  store.set("a", std::string("\0x\n", 3));
  store.set("", "");
  EXPECT_EQ(other.get("a"), std::string("\0x\n", 3));
  EXPECT_EQ(other.get(""), "");
  EXPECT_TRUE(store.set_if_absent("b", "mine"));
  EXPECT_FALSE(other.set_if_absent("b", "yours"));
  EXPECT_EQ(other.get("b"), "mine");
  EXPECT_EQ(store.add("n", 3), 3);
  EXPECT_EQ(other.add("n", -5), -2);
  const std::string long_one(3'000'000, 'z');
  store.set("job/1", long_one);
  store.set("job/2", "two");
  store.set("joc", "");
  const auto listed = other.list("job/");
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_TRUE(listed.at("job/1") == long_one);
  EXPECT_EQ(listed.at("job/2"), "two");
  EXPECT_EQ(other.list("").size(), 7u);
  EXPECT_TRUE(other.list("k").empty());
}

TEST(Store, AGetWaitsForASet) {
  StoreServer server(0);
  Store store("127.0.0.1", server.port(), kSoon);
  const auto begin = steady_clock::now();
  EXPECT_EQ(store.get("late", kShort), std::nullopt);
  EXPECT_GE(steady_clock::now() - begin, kShort);
  std::atomic<bool> told = false;
  std::vector<std::thread> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back([&] {
      Store mine("127.0.0.1", server.port(), kSoon);
      EXPECT_EQ(mine.get("late", kSoon), "here");
      EXPECT_TRUE(told);
      EXPECT_EQ(mine.get("late", kSoon), "here");
    });
  }
  std::this_thread::sleep_for(kShort);
  told = true;
  store.set("late", "here");
  for (std::thread& t : waiting) t.join();
  // One that gave up gets no later answer for another question.
  EXPECT_EQ(store.get("never", kShort), std::nullopt);
  store.set("never", "now");
  EXPECT_EQ(store.get("late"), "here");
}

// What a process leaves behind that cannot speak any more.
TEST(Store, AWillIsDoneWhenAConnectionEnds) {
  StoreServer server(0);
  Store store("127.0.0.1", server.port(), kSoon);
  {
    Store takes_back("127.0.0.1", server.port(), kSoon);
    auto dies = std::make_unique<Store>("127.0.0.1", server.port(), kSoon);
    takes_back.set_will("back", "1");
    takes_back.set_will("", "");
    dies->set_will("first", "1");
    dies->set_will("cause", "lost");
    std::thread waits([&] {
      Store mine("127.0.0.1", server.port(), kSoon);
      EXPECT_EQ(mine.get("cause", kSoon), "lost");
    });
    std::this_thread::sleep_for(kShort);
    auto anew = std::make_unique<Store>("127.0.0.1", server.port(), kSoon);
    anew->set_will("cause", "lost");
    dies.reset();
    EXPECT_EQ(store.get("cause", kShort), std::nullopt);
    anew.reset();
    waits.join();
    Store late("127.0.0.1", server.port(), kSoon);
    late.set_will("cause", "another");
  }
  std::this_thread::sleep_for(kShort);
  EXPECT_EQ(store.get("cause"), "lost");
  EXPECT_EQ(store.get("first"), std::nullopt);
  EXPECT_EQ(store.get("back"), std::nullopt);
}

TEST(Store, AnAnswerMayBeAwaitedForLess) {
  const Socket silent = listen_at(0);
  const int port = port_of(silent);
  std::thread greets([&] {  // and says nothing more
    const Deadline until = steady_clock::now() + kSoon;
    int fd = -1;
    while (fd < 0 && steady_clock::now() < until)
      fd = ::accept4(silent.fd(), nullptr, nullptr, SOCK_NONBLOCK);
    const Socket connection(fd);
    EXPECT_TRUE(send_all(connection, "rt-store", until));
    char request[64];
    receive_all(connection, request, sizeof(request), steady_clock::now() + Milliseconds(800));
  });
  Store store("127.0.0.1", port, kSoon, Milliseconds(100));
  const auto begin = steady_clock::now();
  peer_error([&] { store.get("a", Milliseconds(100)); });
  EXPECT_GE(steady_clock::now() - begin, Milliseconds(200));
  EXPECT_LT(steady_clock::now() - begin, Milliseconds(700));
  greets.join();
}

TEST(Store, CountsForManyAtOnce) {
  StoreServer server(0);
  std::vector<std::thread> threads;
  Store shared("127.0.0.1", server.port(), kSoon);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      Store mine("127.0.0.1", server.port(), kSoon);
      for (int j = 0; j < 100; ++j) {
        mine.add("n", 1);
        shared.add("n", 1);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(shared.add("n", 0), 800);
}

TEST(Store, TheServerMayComeLaterAndGo) {
  int port = 0;
  {
    const StoreServer once(0);
    port = once.port();
  }
  const std::string nobody = peer_error([&] { Store("127.0.0.1", port, Milliseconds(300)); });
  EXPECT_NE(nobody.find("waited 0 s for the store at 127.0.0.1:" + std::to_string(port) +
                        ": Connection refused. Check"),
            std::string::npos)
      << nobody;
  std::unique_ptr<StoreServer> server;
  std::thread starts([&] {
    std::this_thread::sleep_for(Milliseconds(150));
    server = std::make_unique<StoreServer>(port);
  });
  Store store("127.0.0.1", port, kSoon);
  store.set("a", "1");
  starts.join();
  std::thread ends([&] {
    std::this_thread::sleep_for(kShort);
    server.reset();
  });
  const auto begin = steady_clock::now();
  const std::string gone = peer_error([&] { store.get("never", kSoon); });
  EXPECT_LT(steady_clock::now() - begin, Milliseconds(5000));
  EXPECT_NE(gone.find("is gone"), std::string::npos) << gone;
  ends.join();
  peer_error([&] { store.set("a", "2"); });
}

// torchrun's agent, say, listens at a port of its own.
TEST(Store, SomebodyElseAtThePortIsNoStore) {
  const Socket stranger = listen_at(0);
  const std::string why = peer_error([&] { Store("127.0.0.1", port_of(stranger), Milliseconds(200)); });
  EXPECT_NE(why.find("something else listens there"), std::string::npos) << why;
}

TEST(Store, APortInUseIsNamed) {
  const StoreServer server(0);
  const std::string why = peer_error([&] { StoreServer second(server.port()); });
  EXPECT_NE(why.find("port " + std::to_string(server.port()) + ": cannot listen: "), std::string::npos)
      << why;
}

TEST(Store, NoiseOnAConnectionHarmsNobody) {
  StoreServer server(0);
  Store store("127.0.0.1", server.port(), kSoon);
  const Deadline deadline = steady_clock::now() + kSoon;
  for (const std::string& noise : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(64, '\xff'),
                                   std::string("\5\0\0\0abcde", 9), std::string("\x20\0\0\0\0", 5)}) {
    std::string why;
    const Socket socket = connect_to("127.0.0.1", server.port(), deadline, why);
    ASSERT_TRUE(send_all(socket, noise, deadline));
    store.set("alive", noise);
    EXPECT_EQ(store.get("alive"), noise);
  }
}

}  // namespace
}  // namespace rt::dist
