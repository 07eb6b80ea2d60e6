#pragma once
#include <string_view>
#include <vector>

#include "rt/core/buffer.h"
#include "rt/core/exec.h"

namespace rt {

// A tensor's numbers on the host: the same memory on the CPU, a copy elsewhere. Construction waits for all
// work on the device. For checkpoints, initial values, tests and tools, not for what happens every step.
class HostTensor {
 public:
  enum class Contents : std::uint8_t { Read, Undefined };
  // `device_view` is contiguous. Undefined: the copy is not filled, because everything will be written.
  explicit HostTensor(const TensorView& device_view, Contents contents = Contents::Read);
  const TensorView& view() const { return view_; }
  void write_back() const;  // to the device; nothing to do on the CPU

 private:
  TensorView device_view_, view_;
  Buffer buffer_;
};

// A copy of `from`, wherever it is, on `device`.
Tensor copy_to(Device device, const TensorView& from);

// Where ctx can read what the host holds: `host` itself on the CPU, else a copy on ctx.saved, made in stream
// order. `host` may be reused when this returns.
TensorView stage(ExecContext& ctx, const TensorView& host, std::string_view name);
// The other way, into host memory; waits for ctx.stream.
void fetch(ExecContext& ctx, void* to, const void* from, std::size_t bytes);
// The numbers of a contiguous tensor where ctx computes, by fetch(); none in a dry run.
std::vector<double> fetch_values(ExecContext& ctx, const TensorView& from);

}  // namespace rt
