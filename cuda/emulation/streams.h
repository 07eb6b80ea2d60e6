#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

// When the emulation does what streams are given. A GPU may do it at any time between when it is given and
// when the host waits for it: a test that says when finds out what the host, or another stream, should have
// waited for. Tests that also run on a GPU find the first three null there.
namespace rt::cuda::emu {

enum class Haste : std::uint8_t {
  AtOnce,  // unless told otherwise
  None,    // when the host waits for it, or for a stream that does
  Random,  // now and then a piece of what some stream has been given, while the host gives more
};
[[gnu::weak]] void set_haste(Haste haste, std::uint64_t seed = 0);  // finishes everything first

enum class Stop : std::uint8_t {
  Wait,      // for a stream or the device, also those inside of copies, fills and frees
  Event,     // for an event
  Pageable,  // a copy on a stream from or to memory that is not page-locked
};
struct HostStops {  // since the program began
  std::int64_t waits = 0, events = 0, pageable = 0;
};
[[gnu::weak]] HostStops host_stops();
[[gnu::weak]] std::size_t device_bytes();  // allocated now

// ---- for the emulation itself ----

void count(Stop stop);
bool putting_off();
void put_off(const void* stream, std::function<void()> work);

struct Point {  // in a stream's work
  const void* stream = nullptr;
  std::uint64_t number = 0;  // pieces of its work before the point, of all it was ever given
};
Point end_of(const void* stream);
void come_after(const void* stream, const Point& point);  // what the stream is given from now on
bool reached(const Point& point);
void finish(const Point& point);
void finish_all();

}  // namespace rt::cuda::emu
