#pragma once
#include <functional>
#include <optional>
#include <string>

#include "rt/core/stream.h"

namespace rt {

// Work for a device, recorded once and given to it again with one call: the same kernels with the same
// arguments, hence the same bits as giving it piece by piece. Addresses and host values are those of the
// recording.
class DeviceGraph {
 public:
  // Calls `work`, which must do nothing but give work to `stream`; that work is recorded and not run. Empty,
  // with the reason in `why`, where the device has no graphs or the recording failed: nothing has run then
  // either.
  static std::optional<DeviceGraph> record(const Stream& stream, const std::function<void()>& work,
                                           std::string* why);
  void launch(const Stream& stream) const;

  DeviceGraph(DeviceGraph&& other) noexcept;
  DeviceGraph& operator=(DeviceGraph&& other) noexcept;
  ~DeviceGraph();

 private:
  explicit DeviceGraph(void* native) : native_(native) {}
  void* native_;
};

namespace cuda {
RT_CUDA void graph_begin(void* stream);
RT_CUDA void* graph_end(void* stream, std::string* why);  // null, and `why` set, when it cannot be replayed
RT_CUDA void graph_launch(void* graph, void* stream);
RT_CUDA void graph_destroy(void* graph) noexcept;
}  // namespace cuda

}  // namespace rt
