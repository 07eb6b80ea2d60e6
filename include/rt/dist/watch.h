#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "rt/core/error.h"
#include "rt/dist/store.h"

namespace rt::dist {

// How long a process may make no progress.
struct WatchTimeouts {
  Milliseconds init{300'000};        // until ready()
  Milliseconds first_step{600'000};  // from then to the first step_done()
  std::optional<Milliseconds> step;  // from then on; empty: the larger of 60 s and ten median steps
};

struct WatchOptions {
  int rank = 0, world = 1;
  std::string place;  // machine and device, for messages: "node07:5"
  std::string host;   // of the store; empty: alone, and nothing is watched
  int port = 0;
  bool supervised = false;  // Launch::supervised
  WatchTimeouts timeouts;
  Milliseconds heartbeat{2000};  // between two signs of life
  std::filesystem::path dir;     // traces are written to dir/hang-STEP/rankK.json
};

// One in each process of a run: what it does, told to the others; what they do, watched by a thread with
// connections of its own. When this process makes no progress for longer than its timeout, and no other has
// one to wait for, the late rank is named in one line and the process ended with Exit::Peer; likewise when
// another rank failed, with the words of that one. Ended means that no destructor runs: one might wait for a
// peer.
//
// Progress is every call of enter(), begin_collective(), end_collective(), ready() and step_done(); time in
// which the whole process is stopped does not count. These may be called from any thread, thousands of times
// a second.
class Watch {
 public:
  // Exit::Peer when the store cannot be reached.
  explicit Watch(const WatchOptions& options);
  ~Watch();  // leaves
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // "load", "data wait", "forward", ...; up to 23 bytes of it are kept. `allowed`: what this phase may take
  // without progress, where that is longer than the timeout, and while all others give signs of life.
  void enter(std::string_view phase, Milliseconds allowed = Milliseconds(0));
  std::uint64_t begin_collective(std::string_view op, std::uint64_t bytes);  // its number, from 1
  void end_collective(std::uint64_t number);
  void ready();                       // what init is for is done, the first step begins
  void step_done(std::int64_t step);  // `step` steps of the run are done

  // A signal that one rank sees becomes known to all, within about 0.2 s: when and where to stop is agreed
  // upon elsewhere. Neither waits.
  void request_stop(std::string_view reason);
  std::optional<std::string> stop_requested() const;  // the first reason, with its rank

  // Makes `what` the one cause of the run's end, unless there is one: then returns that, a sentence with its
  // rank. Exit::Peer is seldom a cause, so the others have two seconds to name theirs. After this the process
  // is expected to end by itself, with `code`; if it has not within ten seconds, it is ended.
  std::optional<std::string> publish_failure(std::string_view what, Exit code);
  // It has been called: nobody has to be waited for.
  bool ending() const;

  // The end of this process is no failure from now on, and it is watched no more.
  void leave();
  // Until all others left, or were told why the run ends, or give no sign of life for 10 s. For who serves
  // the store, after leave() or publish_failure().
  void wait_for_others();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rt::dist
