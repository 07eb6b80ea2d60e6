#pragma once
#include "rt/core/device_api.h"

namespace rt {

// A point in a stream's work.
class Event {
 public:
  Event(const DeviceApi& api, void* native) : api_(&api), native_(native) {}
  Event(Event&& other) noexcept;
  Event& operator=(Event&&) = delete;
  ~Event();
  void synchronize() const;  // the host waits; sleeps rather than spins
  bool done() const;         // does not wait
  void* native() const noexcept { return native_; }

 private:
  const DeviceApi* api_;
  void* native_;
};

// An ordered queue of device work. On the CPU work is done when the call returns, and all of this is free.
class Stream {
 public:
  explicit Stream(Device device);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Device device() const { return device_; }
  Event record() const;
  void wait(const Event& event) const;
  void synchronize() const;
  void* native() const noexcept { return native_; }

 private:
  Device device_;
  const DeviceApi* api_;
  void* native_;
};

}  // namespace rt
