#include "rt/dist/session.h"

#include <unistd.h>

#include <optional>

#include "rt/core/failed.h"

namespace rt::dist {
namespace {

std::string name_of_machine() {
  char name[256] = "";
  if (::gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

WatchOptions watch_options(const Launch& launch, const SessionOptions& options, const std::string& place) {
  WatchOptions watch;
  watch.rank = launch.rank;
  watch.world = launch.world;
  watch.place = place;
  watch.host = launch.host;
  watch.port = launch.port;
  watch.supervised = launch.supervised;
  watch.timeouts = options.timeouts;
  watch.heartbeat = options.heartbeat;
  watch.dir = options.dir;
  return watch;
}

}  // namespace

struct Session::State {
  Launch launch;
  SessionOptions options;
  std::string machine, place;
  std::optional<StoreServer> server;
  std::optional<Store> store;
  std::optional<Watch> watch;
};

Session::Session(const Launch& launch, const SessionOptions& options) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.launch = launch;
  s.options = options;
  s.machine = options.machine.empty() ? name_of_machine() : options.machine;
  s.place = format("{}:{}", s.machine, launch.local_rank);
  if (!launch.host.empty()) {
    if (!launch.supervised && launch.rank == 0) s.server.emplace(launch.port);
    s.store.emplace(launch.host, launch.port, options.timeouts.init);
  }
  s.watch.emplace(watch_options(launch, options, s.place));
}

Session::~Session() {
  state_->watch->leave();
  if (state_->server) state_->watch->wait_for_others();
}

void Session::join(const Facts& same, const Facts& different) {
  State& s = *state_;
  if (alone()) return;
  s.watch->enter("join");
  dist::join(*s.store, s.launch, Member{s.machine, same, different}, s.options.timeouts.init);
}

Exit Session::run(const std::function<Exit()>& body) {
  Watch& watch = *state_->watch;
  try {
    const Exit code = body();
    if (code == Exit::Ok || code == Exit::Interrupted) {
      watch.leave();
    } else {
      watch.publish_failure(format("ended with exit code {}", static_cast<int>(code)), code);
    }
    return code;
  } catch (...) {
    const Failed failed = what_was_thrown();
    if (failed.code == Exit::Interrupted) {
      watch.leave();
      throw;
    }
    const auto cause = watch.publish_failure(failed.what, failed.code);
    if (failed.code == Exit::Peer && cause) throw Error(Exit::Peer, *cause + " This process ends too.");
    throw;
  }
}

const Launch& Session::launch() const { return state_->launch; }
const std::string& Session::place() const { return state_->place; }
bool Session::alone() const { return !state_->store; }
Store& Session::store() { return *state_->store; }
Watch& Session::watch() { return *state_->watch; }

}  // namespace rt::dist
