#include "rt/core/graph.h"

#include <exception>
#include <utility>

namespace rt {

std::optional<DeviceGraph> DeviceGraph::record(const Stream& stream, const std::function<void()>& work,
                                               std::string* why) {
  if (stream.device().kind == DeviceKind::Cpu || !cuda::graph_begin) {
    *why = to_string(stream.device()) + " has no graphs";
    return std::nullopt;
  }
  cuda::graph_begin(stream.native());
  try {
    work();
  } catch (const std::exception& e) {
    // What cannot be recorded is refused by an error of the call itself, or spoils the recording only.
    void* native = cuda::graph_end(stream.native(), why);
    if (native) {
      cuda::graph_destroy(native);
      throw;
    }
    *why = e.what();
    return std::nullopt;
  }
  void* native = cuda::graph_end(stream.native(), why);
  if (!native) return std::nullopt;
  return DeviceGraph(native);
}

void DeviceGraph::launch(const Stream& stream) const { cuda::graph_launch(native_, stream.native()); }

DeviceGraph::DeviceGraph(DeviceGraph&& other) noexcept : native_(std::exchange(other.native_, nullptr)) {}

DeviceGraph& DeviceGraph::operator=(DeviceGraph&& other) noexcept {
  std::swap(native_, other.native_);
  return *this;
}

DeviceGraph::~DeviceGraph() {
  if (native_) cuda::graph_destroy(native_);
}

}  // namespace rt
