#include "rt/core/stream.h"

#include <utility>

namespace rt {

Event::Event(Event&& other) noexcept : api_(other.api_), native_(std::exchange(other.native_, nullptr)) {}

Event::~Event() {
  if (native_) api_->event_destroy(native_);
}

void Event::synchronize() const { api_->event_synchronize(native_); }
bool Event::done() const { return api_->event_query(native_); }

Stream::Stream(Device device)
    : device_(device), api_(&device_api(device.kind)), native_(api_->stream_create(device.index)) {}

Stream::~Stream() {
  if (native_) api_->stream_destroy(native_);
}

Event Stream::record() const { return {*api_, api_->event_record(native_)}; }
void Stream::wait(const Event& event) const { api_->event_wait(native_, event.native()); }
void Stream::synchronize() const { api_->stream_synchronize(native_); }

}  // namespace rt
