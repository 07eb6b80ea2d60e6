#include "tests/cuda/nccl/fake_device.h"

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "rt/core/buffer.h"
#include "rt/dist/rows.h"

namespace rt {
namespace {

thread_local int current_device = -1;

struct FakeStream {
  explicit FakeStream(int on) : device(on), thread([this] { run(); }) {}
  ~FakeStream() {
    submit({});
    thread.join();
  }
  void submit(std::function<void()> work) {
    const std::lock_guard lock(mutex);
    waiting.push_back(std::move(work));
    changed.notify_all();
  }
  void synchronize() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return waiting.empty(); });
  }
  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return !waiting.empty(); });
      const std::function<void()> work = waiting.front();
      if (!work) return;
      lock.unlock();
      work();
      lock.lock();
      waiting.pop_front();  // not before: synchronize() waits for it
      changed.notify_all();
    }
  }

  const int device;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> waiting;
  std::thread thread;  // last: it uses all of the above
};

struct Point {
  std::mutex mutex;
  std::condition_variable changed;
  bool reached = false;
  void wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return reached; });
  }
};
using FakeEvent = std::shared_ptr<Point>;

struct State {
  std::mutex mutex;
  std::set<FakeStream*> streams;
  std::vector<std::string> mistakes;
};
State& state() {
  static auto* const all = new State;
  return *all;
}

FakeStream& as_stream(void* stream) { return *static_cast<FakeStream*>(stream); }
Point& as_point(void* event) { return **static_cast<FakeEvent*>(event); }

void synchronize(int device) {
  std::vector<FakeStream*> streams;
  {
    const std::lock_guard lock(state().mutex);
    for (FakeStream* const s : state().streams)
      if (s->device == device) streams.push_back(s);
  }
  for (FakeStream* const s : streams) s->synchronize();
}

// Without a stream, as on a GPU: after all that the current device was given.
void synchronize_current() {
  if (current_device >= 0) synchronize(current_device);
}

void* alloc(int index, std::size_t bytes, void*) {
  current_device = index;
  void* const ptr = std::aligned_alloc(kAlignment, padded_bytes(bytes));
  std::memset(ptr, 0xff, padded_bytes(bytes));
  return ptr;
}

void free(int index, void* ptr, std::size_t, void*) noexcept {
  synchronize(index);
  std::free(ptr);
}

void copy(void* to, const void* from, std::size_t bytes, void* stream) {
  if (stream) return as_stream(stream).submit([=] { std::memmove(to, from, bytes); });
  synchronize_current();
  std::memmove(to, from, bytes);
}

void fill(void* to, int byte, std::size_t bytes, void* stream) {
  if (stream) return as_stream(stream).submit([=] { std::memset(to, byte, bytes); });
  synchronize_current();
  std::memset(to, byte, bytes);
}

void* stream_create(int index) {
  current_device = index;
  auto* const stream = new FakeStream(index);
  const std::lock_guard lock(state().mutex);
  state().streams.insert(stream);
  return stream;
}

void stream_destroy(void* stream) noexcept {
  {
    const std::lock_guard lock(state().mutex);
    state().streams.erase(&as_stream(stream));
  }
  delete &as_stream(stream);
}

void* event_record(void* stream) {
  auto* const event = new FakeEvent(std::make_shared<Point>());
  as_stream(stream).submit([point = *event] {
    const std::lock_guard lock(point->mutex);
    point->reached = true;
    point->changed.notify_all();
  });
  return event;
}

void event_wait(void* stream, void* event) {
  as_stream(stream).submit([point = *static_cast<FakeEvent*>(event)] { point->wait(); });
}

bool event_query(void* event) {
  const std::lock_guard lock(as_point(event).mutex);
  return as_point(event).reached;
}

constexpr DeviceApi kApi = {
    .count = []() noexcept { return testing::fake_device::kDevices; },
    .alloc = alloc,
    .free = free,
    .copy = copy,
    .fill = fill,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_synchronize = [](void* stream) { as_stream(stream).synchronize(); },
    .event_record = event_record,
    .event_wait = event_wait,
    .event_synchronize = [](void* event) { as_point(event).wait(); },
    .event_query = event_query,
    .event_destroy = [](void* event) noexcept { delete static_cast<FakeEvent*>(event); },
    .synchronize = synchronize,
    .free_memory = [](int) { return std::size_t{1} << 30; },
};

void check_launch(const char* kernel, void* stream) {
  if (current_device == as_stream(stream).device) return;
  const std::lock_guard lock(state().mutex);
  state().mistakes.push_back(std::string(kernel) + " on device " + std::to_string(as_stream(stream).device) +
                             " by a thread of " + std::to_string(current_device));
}

}  // namespace

const DeviceApi* cuda::device_api_table() noexcept { return &kApi; }

void cuda::convert_rows(const TensorView& from, const TensorView& to, void* stream) {
  check_launch("convert_rows", stream);
  as_stream(stream).submit([=] { cpu::convert_rows(from, to); });
}

void cuda::reduce_rows(const TensorView& parts, const TensorView& out, dist::ReduceOp op, void* stream) {
  check_launch("reduce_rows", stream);
  as_stream(stream).submit([=] { cpu::reduce_rows(parts, out, op); });
}

namespace testing::fake_device {

void submit(void* stream, std::function<void()> work) { as_stream(stream).submit(std::move(work)); }
int current() { return current_device; }
std::vector<std::string> mistakes() {
  const std::lock_guard lock(state().mutex);
  return std::exchange(state().mistakes, {});
}

}  // namespace testing::fake_device
}  // namespace rt
