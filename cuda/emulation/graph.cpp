// rt/core/graph.h for the emulation: a graph is the work itself, with copies of its arguments.
#include "rt/core/graph.h"

#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda/emulation/recorder.h"
#include "rt/core/error.h"

namespace rt::cuda {
namespace {

using Work = std::vector<std::function<void()>>;

struct Graph {
  Work work;
};

struct Recording {
  std::thread::id thread;
  Work work;
  std::string problem;  // the first one

  void spoil(const char* what) {
    if (problem.empty()) problem = what;
    work.clear();
  }
};

struct Recordings {
  std::mutex mutex;
  std::map<const void*, Recording> open;  // by stream
};

// Never destroyed: buffers may be freed by static destructors.
Recordings& recordings() {
  static auto* const all = new Recordings;
  return *all;
}

}  // namespace

namespace emu {

bool recording(const void* stream) {
  if (!stream) return false;
  Recordings& all = recordings();
  const std::lock_guard lock(all.mutex);
  return all.open.contains(stream);
}

void keep(const void* stream, std::function<void()> work) {
  Recordings& all = recordings();
  const std::lock_guard lock(all.mutex);
  const auto found = all.open.find(stream);
  RT_CHECK(found != all.open.end(), "emulated cuda: work for a recording that has ended");
  if (found->second.problem.empty()) found->second.work.push_back(std::move(work));
}

void spoil(const void* stream, const char* what) {
  Recordings& all = recordings();
  const std::lock_guard lock(all.mutex);
  for (auto& [recorded, recording] : all.open) {
    if (stream ? recorded == stream : recording.thread == std::this_thread::get_id()) recording.spoil(what);
  }
}

void spoil_all(const char* what) {
  Recordings& all = recordings();
  const std::lock_guard lock(all.mutex);
  for (auto& entry : all.open) entry.second.spoil(what);
}

void forget(const void* stream) noexcept {
  Recordings& all = recordings();
  const std::lock_guard lock(all.mutex);
  all.open.erase(stream);
}

}  // namespace emu

void graph_begin(void* stream) {
  RT_CHECK(stream, "emulated cuda: the default stream cannot be recorded");
  Recordings& all = recordings();
  const std::lock_guard lock(all.mutex);
  const bool added = all.open.try_emplace(stream, Recording{std::this_thread::get_id(), {}, {}}).second;
  RT_CHECK(added, "emulated cuda: the stream is being recorded already");
}

void* graph_end(void* stream, std::string* why) {
  Recordings& all = recordings();
  const std::lock_guard lock(all.mutex);
  const auto ended = all.open.extract(stream);
  if (ended.empty()) {
    *why = "emulated cuda: the stream is not being recorded";
    return nullptr;
  }
  if (!ended.mapped().problem.empty()) {
    *why = "emulated cuda: while recording, " + ended.mapped().problem;
    return nullptr;
  }
  return new Graph{std::move(ended.mapped().work)};
}

// As part of a recording, when `stream` is being recorded.
void graph_launch(void* graph, void* stream) {
  for (const auto& work : static_cast<const Graph*>(graph)->work) emu::submit(stream, work);
}

void graph_destroy(void* graph) noexcept { delete static_cast<Graph*>(graph); }

}  // namespace rt::cuda
