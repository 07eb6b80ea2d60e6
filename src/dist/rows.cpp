#include "rt/dist/rows.h"

#include <algorithm>
#include <vector>

#include "dist/tree_sum.h"
#include "rt/core/error.h"

namespace rt {
namespace {

bool are_rows(const TensorView& view) { return view.shape.rank() == 2 && view.strides[1] == 1; }

template <class To, class From>
void convert(const TensorView& from, const TensorView& to) {
  for (std::int64_t r = 0; r < from.shape[0]; ++r) {
    const From* const in = from.as<From>() + r * from.strides[0];
    To* const out = to.as<To>() + r * to.strides[0];
    for (std::int64_t i = 0; i < from.shape[1]; ++i) out[i] = static_cast<To>(in[i]);
  }
}

// The parts stay as they are, so they are merged in a copy, a piece at a time.
template <class T, class Part>
void reduce(const TensorView& parts, T* out, dist::ReduceOp op) {
  constexpr std::int64_t kPiece = 1024;
  const std::int64_t R = parts.shape[0], n = parts.shape[1];
  std::vector<T> piece(static_cast<std::size_t>(R * kPiece));
  std::vector<T*> rows;
  for (std::int64_t r = 0; r < R; ++r) rows.push_back(piece.data() + r * kPiece);
  for (std::int64_t begin = 0; begin < n; begin += kPiece) {
    const std::int64_t now = std::min(kPiece, n - begin);
    for (std::int64_t r = 0; r < R; ++r) {
      const Part* const in = parts.as<Part>() + r * parts.strides[0] + begin;
      for (std::int64_t i = 0; i < now; ++i) rows[static_cast<std::size_t>(r)][i] = static_cast<T>(in[i]);
    }
    dist::tree_reduce<T>(rows, now, op);
    std::copy_n(rows[0], now, out + begin);
  }
}

}  // namespace

void cpu::convert_rows(const TensorView& from, const TensorView& to) {
  from.dtype == DType::F32 ? convert<bf16, float>(from, to) : convert<float, bf16>(from, to);
}

void cpu::reduce_rows(const TensorView& parts, const TensorView& out, dist::ReduceOp op) {
  if (parts.dtype == DType::F64) return reduce<double, double>(parts, out.as<double>(), op);
  if (parts.dtype == DType::BF16) return reduce<float, bf16>(parts, out.as<float>(), op);
  reduce<float, float>(parts, out.as<float>(), op);
}

namespace dist {

void convert_rows(const TensorView& from, const TensorView& to, const Stream& stream) {
  const bool narrower = from.dtype == DType::F32 && to.dtype == DType::BF16;
  const bool wider = from.dtype == DType::BF16 && to.dtype == DType::F32;
  RT_CHECK((narrower || wider) && are_rows(from) && are_rows(to) && from.shape == to.shape &&
               from.shape[0] <= kMaxRows,
           "convert_rows: {} {} to {} {}", from.shape, name(from.dtype), to.shape, name(to.dtype));
  if (from.numel() == 0) return;
  if (stream.device().kind == DeviceKind::Cpu) return cpu::convert_rows(from, to);
  cuda::convert_rows(from, to, stream.native());
}

void reduce_rows(const TensorView& parts, const TensorView& out, ReduceOp op, const Stream& stream) {
  const DType sum = parts.dtype == DType::F64 ? DType::F64 : DType::F32;
  const bool number = sum == DType::F64 || parts.dtype == DType::F32 || parts.dtype == DType::BF16;
  RT_CHECK(number && out.dtype == sum && are_rows(parts) && out.is_contiguous() && parts.shape[0] >= 1 &&
               parts.shape[0] <= kMaxRows && parts.shape[1] == out.numel(),
           "reduce_rows: {} {} to {} {}", parts.shape, name(parts.dtype), out.shape, name(out.dtype));
  if (out.numel() == 0) return;
  if (stream.device().kind == DeviceKind::Cpu) return cpu::reduce_rows(parts, out, op);
  cuda::reduce_rows(parts, out, op, stream.native());
}

}  // namespace dist
}  // namespace rt
