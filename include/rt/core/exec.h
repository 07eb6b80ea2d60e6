#pragma once
#include "rt/core/arena.h"
#include "rt/core/buffer.h"
#include "rt/core/rng.h"
#include "rt/core/stream.h"

namespace rt {

// Which column of an op's table runs. Ref is the double-precision specification and works on F64 tensors
// only.
enum class Impl : std::uint8_t { Ref, Cpu, Cuda };
std::string_view name(Impl impl);
inline Impl impl_of(Device device) { return device.kind == DeviceKind::Cuda ? Impl::Cuda : Impl::Cpu; }
inline Device device_of(Impl impl) { return impl == Impl::Cuda ? Device::cuda(0) : Device::cpu(); }

class TimeSlices;

// Where and with what memory an op runs. In a dry run (planning) ops and kernels make every allocation they
// would make and return before touching memory.
struct ExecContext {
  Device device;
  Impl impl;
  Stream& stream;
  Arena& saved;     // values on the tape: grows in forward, shrinks in backward
  Arena& scratch;   // released by whoever allocated, within one op
  GradPool& grads;  // gradients of intermediate values
  Rng rng;
  bool dry_run = false;
  // Where sequences are slices of longer ones, whose other slices are elsewhere: rt/core/time_slices.h.
  TimeSlices* slices = nullptr;
};

// Dtype of recurrent state, losses and parameter gradients: F64 for Ref, else F32.
inline DType accum_dtype(Impl impl) { return impl == Impl::Ref ? DType::F64 : DType::F32; }
inline DType accum_dtype(const ExecContext& ctx) { return accum_dtype(ctx.impl); }

// Zeros where ctx computes, for longer than its arenas keep anything; in a dry run untouchable.
Tensor lasting(const ExecContext& ctx, Shape shape, DType dtype);

// The memory of one step with a context over it, for tools and tests; the trainer plans its own.
class Workspace {
 public:
  Workspace(Device device, Impl impl, std::size_t saved, std::size_t scratch, std::size_t grads,
            Rng rng = {});                            // Live
  Workspace(Device device, Impl impl, Rng rng = {});  // Measure: a dry run
  ExecContext& ctx() { return ctx_; }
  const Arena& saved() const { return saved_; }
  const Arena& scratch() const { return scratch_; }
  const GradPool& grads() const { return grads_; }

 private:
  Stream stream_;
  Arena saved_, scratch_;
  GradPool grads_;
  ExecContext ctx_;
};

}  // namespace rt
