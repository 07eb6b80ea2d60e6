#include "cuda/emulation/streams.h"

#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "rt/core/rng.h"

namespace rt::cuda::emu {
namespace {

struct Queue {
  std::deque<std::function<void()>> pieces;
  std::uint64_t done = 0;  // of all it was ever given, by whichever streams were at this address
};

struct State {
  std::recursive_mutex mutex;  // also held while a piece runs, which may finish other streams
  Haste haste = Haste::AtOnce;
  Rng rng;
  std::uint64_t drawn = 0;
  std::map<const void*, Queue> queues;  // by stream
  HostStops stops;

  void run_next(Queue& queue) {
    const std::function<void()> piece = std::move(queue.pieces.front());
    queue.pieces.pop_front();
    ++queue.done;
    try {
      piece();
    } catch (...) {
      // As after an error on a GPU, where nothing that was given to it runs any more.
      for (auto& [stream, other] : queues) {
        other.done += other.pieces.size();
        other.pieces.clear();
      }
      throw;
    }
  }
};

// Never destroyed: buffers may be freed by static destructors.
State& state() {
  static auto* const all = new State;
  return *all;
}

}  // namespace

void count(Stop stop) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  switch (stop) {
    case Stop::Wait: ++all.stops.waits; break;
    case Stop::Event: ++all.stops.events; break;
    case Stop::Pageable: ++all.stops.pageable; break;
  }
}

HostStops host_stops() {
  const std::lock_guard lock(state().mutex);
  return state().stops;
}

void set_haste(Haste haste, std::uint64_t seed) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  finish_all();
  all.haste = haste;
  all.rng = {seed, 0};
  all.drawn = 0;
}

bool putting_off() {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  return all.haste != Haste::AtOnce;
}

void put_off(const void* stream, std::function<void()> work) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  all.queues[stream].pieces.push_back(std::move(work));
  if (all.haste != Haste::Random) return;
  for (auto& [other, queue] : all.queues) {
    if (!queue.pieces.empty() && all.rng.below(all.drawn++, 3) == 0) all.run_next(queue);
  }
}

Point end_of(const void* stream) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  const Queue& queue = all.queues[stream];
  return {stream, queue.done + queue.pieces.size()};
}

void come_after(const void* stream, const Point& point) {
  if (stream != point.stream && putting_off()) put_off(stream, [point] { finish(point); });
}

bool reached(const Point& point) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  return all.queues[point.stream].done >= point.number;
}

void finish(const Point& point) {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  Queue& queue = all.queues[point.stream];
  while (queue.done < point.number && !queue.pieces.empty()) all.run_next(queue);
}

void finish_all() {
  State& all = state();
  const std::lock_guard lock(all.mutex);
  for (auto& entry : all.queues) {
    while (!entry.second.pieces.empty()) all.run_next(entry.second);
  }
}

}  // namespace rt::cuda::emu
