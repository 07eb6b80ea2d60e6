#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rt/core/buffer.h"
#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/core/stream.h"
#include "rt/dist/nccl.h"
#include "tests/cuda/nccl/fake_device.h"
#include "tests/cuda/nccl/fake_nccl.h"
#include "tests/support/rank_numbers.h"

namespace rt::testing {

FakeNccl& library();  // that RT_FAKE_NCCL names

// A rank: its thread's communicator, device and a stream of the caller's.
struct Rank {
  dist::Store& store;
  int rank, size;
  Device device;
  dist::NcclOptions options;
  Stream stream{device};
  std::unique_ptr<dist::Communicator> made{};

  dist::Communicator& connect(const std::string& prefix = "nccl") {
    options.prefix = prefix;
    made = dist::nccl_communicator(store, rank, size, device, options);
    return *made;
  }
  Tensor there(const Tensor& host) const { return copy_to(device, host.view); }
  Tensor zeros(std::int64_t n, DType dtype = DType::F32) const { return {{n}, dtype, device}; }
};

// Ranks as threads of this process, each with its own connection to the store.
inline void with_ranks(int size, const std::function<void(Rank&)>& body,
                       const dist::NcclOptions& options = {}) {
  const dist::StoreServer server(0);
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&, r] {
      try {
        dist::Store store("127.0.0.1", server.port(), dist::Milliseconds(20'000));
        Rank rank{store, r, size, Device::cuda(r), options};
        rank.options.staging = std::min(options.staging, std::size_t{1} << 20);
        body(rank);
      } catch (const std::exception& e) { ADD_FAILURE() << "rank " << r << ": " << e.what(); }
    });
  }
  for (std::thread& t : threads) t.join();
}

inline std::string words_of(Exit code, const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}
inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Each test has a library without faults, and makes no mistake in using it.
class Nccl : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("RT_NCCL_LIBRARY", RT_FAKE_NCCL, 1);
    library().reset();
  }
  void TearDown() override {
    EXPECT_EQ(library().mistakes(), std::vector<std::string>{});
    EXPECT_EQ(fake_device::mistakes(), std::vector<std::string>{});
  }
  // What threads of a rank's device have called.
  static std::vector<NcclCall> calls_of(int device) {
    std::vector<NcclCall> all;
    for (const NcclCall& c : library().calls())
      if (c.device == device) all.push_back(c);
    return all;
  }
  static int count(const std::string& name, int rank) {
    int n = 0;
    for (const NcclCall& c : library().calls()) n += c.name == name && c.rank == rank;
    return n;
  }
};

}  // namespace rt::testing
