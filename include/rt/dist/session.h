#pragma once
#include <functional>
#include <memory>

#include "rt/core/error.h"
#include "rt/dist/launch.h"
#include "rt/dist/rendezvous.h"
#include "rt/dist/store.h"
#include "rt/dist/watch.h"

namespace rt::dist {

struct SessionOptions {
  std::string machine;  // this one's name; empty: asked of the system
  WatchTimeouts timeouts;
  Milliseconds heartbeat{2000};
  std::filesystem::path dir;  // of the run: for traces
};

// This process' part in a run of launch.world: the store (which rank 0 serves, unless who started us does),
// the agreement with the others, the watch, and what the end of this process means to the others. A process
// that is alone has one as well: it has no store, and nothing watches it.
class Session {
 public:
  // Exit::Peer when the store cannot be served or reached within timeouts.init.
  Session(const Launch& launch, const SessionOptions& options);
  ~Session();  // rank 0, which serves the store, waits for the others
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // rt::dist::join, with the failure of any other ending the wait.
  void join(const Facts& same, const Facts& different = {});

  // Runs what this process is for. Exit::Ok and Exit::Interrupted, returned or thrown, are no failure; any
  // other code, and any exception, is published as the cause of the run's end. What it throws is thrown on;
  // but a process that ends for the loss of a peer (Exit::Peer) says the cause that the other published.
  //
  // What `body` makes should outlive it: destructors that wait for a peer would hold up the news.
  Exit run(const std::function<Exit()>& body);

  const Launch& launch() const;
  const std::string& place() const;  // "node07:5"
  bool alone() const;
  Store& store();  // not when alone
  Watch& watch();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rt::dist
