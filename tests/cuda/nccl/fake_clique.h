#pragma once
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cuda/dist/nccl_api.h"
#include "tests/cuda/nccl/data_size.h"

// What ranks of the fake library do together, when their streams come to it.
namespace rt::testing {

enum class Kind { AllReduce, ReduceScatter, AllGather, Broadcast, Send, Recv };

struct Piece {
  Kind kind;
  const void* in;
  void* out;
  std::size_t count;
  void* stream;
  int peer = -1;  // or root
  std::string name{};
  dist::nccl::DataType type{};
  bool max = false;
  std::uint64_t number = 0;  // of a collective, among those of its communicator

  std::size_t size() const { return size_of(type); }
  std::string signature() const {
    return name + " " + std::to_string(count) + " " + std::to_string(static_cast<int>(type)) + " " +
           std::to_string(peer) + (max ? " max" : "");
  }
};

class Clique {
 public:
  Clique(int size, std::function<void(const std::string&)> mistake)
      : size_(size), mistake_(std::move(mistake)) {}

  void join(int rank) {
    const std::lock_guard lock(mutex_);
    if (!ranks_.insert(rank).second) mistake_("two of rank " + std::to_string(rank));
  }
  bool complete() {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(ranks_.size()) == size_;
  }
  void abort(std::atomic<bool>& aborted) {
    const std::lock_guard lock(mutex_);
    aborted = true;
    changed_.notify_all();
  }
  void wait_for_abort(const std::atomic<bool>& aborted) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return aborted.load(); });
  }

  // Returns when it is done, or aborted.
  void run(int rank, const std::vector<Piece>& pieces, const std::atomic<bool>& aborted) {
    std::unique_lock lock(mutex_);
    for (const Piece& p : pieces) {
      if (p.kind != Kind::Send) continue;
      mail_[{rank, p.peer}].push_back(bytes(p.in, p.count * p.size()));
      changed_.notify_all();
    }
    for (const Piece& p : pieces) {
      if (p.kind == Kind::Send) continue;
      const bool done = p.kind == Kind::Recv ? receive(lock, rank, p, aborted) : meet(lock, rank, p, aborted);
      if (!done) return;
    }
  }

 private:
  using Bytes = std::vector<char>;
  struct Meeting {
    std::map<int, Bytes> in;
    std::string signature;
    int left = 0;
  };

  static Bytes bytes(const void* from, std::size_t n) {
    const auto* const begin = static_cast<const char*>(from);
    return {begin, begin + n};
  }

  bool receive(std::unique_lock<std::mutex>& lock, int rank, const Piece& p,
               const std::atomic<bool>& aborted) {
    std::deque<Bytes>& box = mail_[{p.peer, rank}];
    changed_.wait(lock, [&] { return aborted || !box.empty(); });
    if (aborted) return false;
    if (box.front().size() != p.count * p.size()) mistake_("a receive of another size than its send");
    std::memcpy(p.out, box.front().data(), std::min(box.front().size(), p.count * p.size()));
    box.pop_front();
    return true;
  }

  bool meet(std::unique_lock<std::mutex>& lock, int rank, const Piece& p, const std::atomic<bool>& aborted) {
    Meeting& m = meetings_[p.number];
    if (m.in.empty()) m.signature = p.signature();
    if (m.signature != p.signature()) mistake_(m.signature + " meets " + p.signature());
    const std::size_t parts = p.kind == Kind::ReduceScatter ? static_cast<std::size_t>(size_) : 1;
    m.in[rank] = bytes(p.in, parts * p.count * p.size());
    changed_.notify_all();
    changed_.wait(lock, [&] { return aborted || static_cast<int>(m.in.size()) == size_; });
    if (aborted) return false;
    finish(rank, p, m);
    if (++m.left == size_) meetings_.erase(p.number);
    return true;
  }

  void finish(int rank, const Piece& p, const Meeting& m) const {
    const std::size_t n = p.count * p.size();
    auto* const out = static_cast<char*>(p.out);
    if (p.kind == Kind::Broadcast) {
      std::memcpy(out, m.in.at(p.peer).data(), n);
    } else if (p.kind == Kind::AllGather) {
      for (const auto& [r, in] : m.in) std::memcpy(out + static_cast<std::size_t>(r) * n, in.data(), n);
    } else {
      const std::size_t from = p.kind == Kind::ReduceScatter ? static_cast<std::size_t>(rank) * p.count : 0;
      using dist::nccl::DataType;
      if (p.type == DataType::Float64) return reduce<double>(p, m, from);
      if (p.type == DataType::Float32) return reduce<float>(p, m, from);
      mistake_("a sum of another type than F32 and F64");
    }
  }

  // From the last rank to the first: not the order of the tree.
  template <class T>
  void reduce(const Piece& p, const Meeting& m, std::size_t from) const {
    for (std::size_t i = 0; i < p.count; ++i) {
      const auto of = [&](const Bytes& in) {
        T value;
        std::memcpy(&value, in.data() + (from + i) * sizeof(T), sizeof(T));
        return value;
      };
      T all = of(m.in.rbegin()->second);
      for (auto r = std::next(m.in.rbegin()); r != m.in.rend(); ++r)
        all = p.max ? std::max(of(r->second), all) : all + of(r->second);
      static_cast<T*>(p.out)[i] = all;
    }
  }

  const int size_;
  const std::function<void(const std::string&)> mistake_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<int> ranks_;
  std::map<std::pair<int, int>, std::deque<Bytes>> mail_;  // from, to
  std::map<std::uint64_t, Meeting> meetings_;
};

}  // namespace rt::testing
