#pragma once
#include "rt/core/device_api.h"
#include "rt/core/stream.h"
#include "rt/core/tensor.h"
#include "rt/dist/communicator.h"

// What a communicator computes where the numbers are: rows (R, n), one per rank, each contiguous.
namespace rt::dist {

// to (R, n) = from (R, n), F32 to BF16 (to nearest even) or BF16 to F32.
void convert_rows(const TensorView& from, const TensorView& to, const Stream& stream);

// out (n) = the R rows of parts (R, n), merged in the order that Communicator promises. F64 to F64; F32 and
// BF16 to F32, in F32. `out` is none of the parts.
void reduce_rows(const TensorView& parts, const TensorView& out, ReduceOp op, const Stream& stream);
inline constexpr int kMaxRows = 4096;

}  // namespace rt::dist

namespace rt::cpu {
void convert_rows(const TensorView& from, const TensorView& to);
void reduce_rows(const TensorView& parts, const TensorView& out, dist::ReduceOp op);
}  // namespace rt::cpu

namespace rt::cuda {
RT_CUDA void convert_rows(const TensorView& from, const TensorView& to, void* stream);
RT_CUDA void reduce_rows(const TensorView& parts, const TensorView& out, dist::ReduceOp op, void* stream);
}  // namespace rt::cuda
