// One process of a run that only counts steps, for tests of what happens when one fails:
//   cluster_member [--nproc N] dir=DIR [steps=N] [step_ms=N] [timeout_ms=N] [heartbeat_ms=N] [restarts=N]
//                  [elastic=1] [fails=LOCAL_RANK] [last_ms=N] [do=RANK:STEP:ACTION]...
// A step ends with a collective, which here is a meeting in the store. Rank 0 keeps the number of steps in
// DIR/step, where the next start goes on. Actions: see act(). With a "+" before STEP: so many steps after the
// start, each time; with "once:" before ACTION: at the first start only.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>
#include <vector>

#include "rt/core/failed.h"
#include "rt/core/log.h"
#include "rt/dist/session.h"
#include "rt/dist/supervisor.h"

namespace rt::dist {
namespace {

namespace fs = std::filesystem;
std::atomic<int> signalled{0};

struct Deed {
  int rank = 0, step = 0;
  bool relative = false, once = false;
  std::string action;
};

struct Options {
  int nproc = 0;
  fs::path dir;
  std::map<std::string, int> numbers = {{"steps", 1000},       {"step_ms", 10}, {"timeout_ms", 60'000},
                                        {"heartbeat_ms", 200}, {"restarts", 0}, {"elastic", 0},
                                        {"fails", -1},         {"last_ms", 0}};
  std::vector<Deed> deeds;
  Milliseconds ms(const std::string& name) const { return Milliseconds(numbers.at(name)); }
};

Deed parse_deed(const std::string& text) {
  const std::size_t one = text.find(':'), two = text.find(':', one + 1);
  Deed deed;
  deed.rank = std::stoi(text.substr(0, one));
  std::string step = text.substr(one + 1, two - one - 1);
  deed.relative = step[0] == '+';
  deed.step = std::stoi(step);
  deed.action = text.substr(two + 1);
  deed.once = deed.action.starts_with("once:");
  if (deed.once) deed.action.erase(0, 5);
  return deed;
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i], name = word.substr(0, word.find('='));
    const std::string value = word.substr(std::min(word.size(), name.size() + 1));
    if (name == "--nproc") {
      o.nproc = std::stoi(argv[++i]);
    } else if (name == "dir") {
      o.dir = value;
    } else if (name == "do") {
      o.deeds.push_back(parse_deed(value));
    } else {
      o.numbers.at(name) = std::stoi(value);
    }
  }
  return o;
}

void write(const fs::path& file, std::int64_t number) {
  const fs::path fresh = file.string() + ".new";
  std::ofstream(fresh) << number << "\n";
  fs::rename(fresh, file);
}

std::int64_t read(const fs::path& file) {
  std::int64_t number = 0;
  std::ifstream(file) >> number;
  return number;
}

void act(const std::string& action, Watch& watch) {
  if (action == "kill") raise(SIGKILL);
  if (action == "stop") raise(SIGSTOP);
  if (action == "abort") std::abort();
  if (action == "data") fail(Exit::Data, "shard 12: checksum mismatch. Re-copy this file.");
  if (action == "peer") fail(Exit::Peer, "all_reduce: the connection to a peer was closed");
  if (action == "late") {
    std::this_thread::sleep_for(Milliseconds(500));
    act("data", watch);
  }
  if (action == "unknown") throw std::runtime_error("something else");
  if (action == "exit4") _exit(4);
  if (action == "warn") log::warn("member", "the disk is nearly full");
  if (action == "hang") {
    watch.enter("data wait");
    for (;;) pause();
  }
  if (action == "save") {  // longer than the timeout, and said so
    watch.enter("save", Milliseconds(20'000));
    std::this_thread::sleep_for(Milliseconds(3500));
  }
}

// All ranks have come here; true when any has seen a signal.
bool meet(Session& session, std::int64_t step) {
  Store& store = session.store();
  const std::string key = "step/" + std::to_string(step);
  const std::uint64_t number = session.watch().begin_collective("all_reduce", 1024);
  if (session.watch().stop_requested()) store.add(key + "/stop", 1);
  if (store.add(key, 1) == session.launch().world) store.set(key + "/all", "");
  while (!store.get(key + "/all", Milliseconds(60'000))) {}
  session.watch().end_collective(number);
  return store.add(key + "/stop", 0) > 0;
}

Exit train(Session& session, const Options& o) {
  const int rank = session.launch().rank;
  Watch& watch = session.watch();
  session.join({{"program", "cluster_member"}});
  if (session.launch().local_rank == o.numbers.at("fails")) std::abort();
  const std::int64_t first = read(o.dir / "step");
  const bool fresh = first == 0;
  meet(session, -1);  // before the file changes
  watch.ready();
  for (std::int64_t step = first + 1; step <= o.numbers.at("steps"); ++step) {
    watch.enter("forward");
    std::this_thread::sleep_for(o.ms("step_ms"));
    for (const Deed& deed : o.deeds) {
      const std::int64_t when = deed.relative ? first + deed.step : deed.step;
      if (deed.rank == rank && step == when && (fresh || !deed.once)) act(deed.action, watch);
    }
    if (const int number = signalled) watch.request_stop(number == SIGUSR1 ? "SIGUSR1" : "a signal");
    watch.enter("backward");
    const bool stop = meet(session, step);
    watch.step_done(step);
    if (rank == 0) write(o.dir / "step", step);
    if (!stop) continue;
    log::info("member", "rank {} stops at {}: {}", rank, step,
              watch.stop_requested().value_or("not known yet"));
    return Exit::Interrupted;
  }
  if (rank > 0) std::this_thread::sleep_for(o.ms("last_ms"));
  log::info("member", "rank {} is done", rank);
  return Exit::Ok;
}

int run(int argc, char** argv) {
  const Options o = parse(argc, argv);
  if (o.nproc > 0) {
    SupervisorOptions s;
    s.processes = o.nproc;
    s.command = {argv[0]};
    for (int i = 1; i < argc; ++i) {
      if (std::string(argv[i]) == "--nproc") {
        ++i;
      } else {
        s.command.emplace_back(argv[i]);
      }
    }
    s.restarts = o.numbers.at("restarts");
    s.elastic = o.numbers.at("elastic") != 0;
    s.back_off = Milliseconds(100);
    s.log = o.dir / "log.txt";
    return supervise(s);
  }
  for (const int s : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) {
    signal(s, [](int number) {
      if (signalled.exchange(number) != 0) _exit(128 + number);
    });
  }
  const Launch launch = detect_launch(process_environment());
  write(o.dir / ("pid" + std::to_string(launch.rank)), getpid());
  SessionOptions options;
  options.machine = "here";
  options.heartbeat = o.ms("heartbeat_ms");
  options.timeouts = {o.ms("timeout_ms"), o.ms("timeout_ms"), o.ms("timeout_ms")};
  options.dir = o.dir;
  Session session(launch, options);
  return static_cast<int>(session.run([&] { return train(session, o); }));
}

}  // namespace
}  // namespace rt::dist

int main(int argc, char** argv) {
  rt::log::use_stdout();
  try {
    return rt::dist::run(argc, argv);
  } catch (...) {
    const rt::Failed failed = rt::what_was_thrown();
    std::fprintf(stderr, "error: %s\n", failed.what.c_str());
    return static_cast<int>(failed.code);
  }
}
