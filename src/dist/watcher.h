#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "dist/activity.h"
#include "dist/verdict.h"

namespace rt::dist {

// The thread behind Watch: looks at the store every kTick, gives a sign of life every heartbeat, and ends the
// process where Watch says so.
class Watcher {
 public:
  Watcher(const WatchOptions& options, const Activity& activity);  // connects; Exit::Peer
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  void request_stop(const std::string& reason);
  std::optional<std::string> stop_requested() const;
  // This process ends by itself with that code: others' failures are left alone.
  void expect_end(Exit code);
  bool ending() const { return own_code_ >= 0; }
  void leave();

 private:
  static constexpr Milliseconds kTick{200};

  void run();
  void look();
  void count_time();
  void heed_stop();
  void give_sign();
  void judge();
  void connect(Milliseconds timeout);
  void store_lost();
  Report report() const;
  Milliseconds answer_time() const { return 2 * options_.heartbeat + Milliseconds(1000); }
  bool serves() const { return !options_.supervised && options_.rank == 0; }
  Milliseconds idle() const { return awake_ - progress_at_; }
  [[noreturn]] void hang(const std::string& line);
  [[noreturn]] void end(const Failure& failure);
  void wait_for_own_end();

  const WatchOptions options_;
  const Activity& activity_;
  std::unique_ptr<Store> store_;
  std::thread thread_;
  std::atomic<bool> leaving_{false};
  std::atomic<int> own_code_{-1};

  mutable std::mutex stop_mutex_;
  std::string wanted_stop_, known_stop_;

  // Of the thread alone. Times count while the process runs: a stopped one is not late by that.
  Clock::time_point last_look_;
  Milliseconds awake_{}, progress_at_{}, sign_at_{}, own_end_at_{};
  Doing doing_;
  std::uint64_t seen_changes_ = 0, beats_ = 0;
  std::int64_t told_step_ = -1;
  bool stop_told_ = false, warned_ = false, lost_ = false, lost_by_close_ = false;
  std::optional<Reports> asked_;  // what all said when this process had exceeded its timeout
  Milliseconds asked_at_{};
  std::vector<int> silent_;  // since then
};

std::string store_lost_words(const WatchOptions& options);  // who is gone with it

// Waits until each other rank has left or knows of the failure: 1.5 s when there is one, else as long as they
// give signs of life, and 10 s longer. Not for those who are silent already.
void wait_for_others(Store& store, int rank, int world, std::span<const int> silent = {});

// dir/hang-STEP/rankK.json: what this process did last, and what it saw of the others.
void write_trace(const WatchOptions& options, std::int64_t hang_step, const Activity& activity,
                 const Report& mine, const Reports& others);
std::filesystem::path trace_dir(const WatchOptions& options, std::int64_t hang_step);

}  // namespace rt::dist
