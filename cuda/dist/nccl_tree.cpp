#include "cuda/dist/nccl_tree.h"

#include <algorithm>

#include "rt/core/error.h"
#include "rt/dist/rows.h"

namespace rt::dist::nccl {
namespace {

// So many values in all ranks together are gathered and merged by every rank: one message instead of two.
constexpr std::int64_t kFew = 1 << 14;

NativeStream native(const Stream& stream) { return static_cast<NativeStream>(stream.native()); }

DType wire_of(const TensorView& view, Reduction how) {
  return view.dtype == DType::F32 ? how.wire : view.dtype;
}

TensorView row(const TensorView& rows, std::int64_t r) { return rows.slice(0, r, r + 1); }

// In place: each rank's row of (size, n), contiguous, to all others.
void gather_rows(Connection& c, const Stream& stream, const TensorView& rows, int rank) {
  const auto n = static_cast<std::size_t>(rows.shape[1]);
  c.begin();
  c.add([&] {
    return c.api().all_gather(row(rows, rank).data, rows.data, n, data_type(rows.dtype), c.comm(),
                              native(stream));
  });
  c.end();
}

}  // namespace

DataType data_type(DType dtype) {
  switch (dtype) {
    case DType::F64: return DataType::Float64;
    case DType::F32: return DataType::Float32;
    case DType::BF16: return DataType::Bfloat16;
    case DType::I32: return DataType::Int32;
    case DType::U8: break;
  }
  return DataType::Uint8;
}

std::int64_t TreeReduction::chunk(DType wire) const {
  const std::size_t column = static_cast<std::size_t>(size_) * size_of(wire) * (wire == DType::BF16 ? 2 : 1);
  const auto most = static_cast<std::int64_t>(staging_ / column) / 64 * 64;
  return std::max({most, std::int64_t{64}, std::int64_t{size_}});
}

std::byte* TreeReduction::room() {
  if (!buffer_.data()) {
    const auto columns = static_cast<std::size_t>(chunk(DType::F64));
    const std::size_t least = columns * static_cast<std::size_t>(size_) * size_of(DType::F64);
    buffer_ = Buffer(device_, std::max(staging_, least));
  }
  return buffer_.data();
}

TreeReduction::Rows TreeReduction::rows(std::int64_t n, DType wire) {
  Rows rows;
  rows.arrived = TensorView(room(), {size_, n}, wire, device_);
  if (wire == DType::BF16)
    rows.leaving = TensorView(room() + rows.arrived.nbytes(), {size_, n}, wire, device_);
  return rows;
}

void TreeReduction::all_reduce(Connection& c, const Stream& stream, const TensorView& view, Reduction how) {
  const std::int64_t n = view.numel(), most = chunk(wire_of(view, how));
  const TensorView all = view.reshape({n});
  const std::int64_t few = std::min(most, std::max<std::int64_t>(kFew / size_, size_ - 1));
  for (std::int64_t at = 0; at < n;) {
    const std::int64_t left = n - at;
    if (left <= few) return all_reduce_gathered(c, stream, all.slice(0, at, n), how);
    const std::int64_t now = std::min(most, left / size_) * size_;
    all_reduce_slice(c, stream, all.slice(0, at, at + now), how);
    at += now;
  }
}

void TreeReduction::reduce_scatter(Connection& c, const Stream& stream, const TensorView& in,
                                   const TensorView& out, Reduction how) {
  const std::int64_t n = out.numel(), most = chunk(wire_of(in, how));
  const TensorView parts = in.reshape({size_, n}), to = out.reshape({n});
  for (std::int64_t at = 0; at < n; at += most) {
    const std::int64_t end = std::min(at + most, n);
    reduce_part(c, stream, parts.slice(1, at, end), to.slice(0, at, end), how);
  }
}

// out (n) = this rank's row of parts (size, n), reduced. `out` may be that row.
void TreeReduction::reduce_part(Connection& c, const Stream& stream, const TensorView& parts,
                                const TensorView& out, Reduction how) {
  const DType wire = wire_of(parts, how);
  const std::int64_t n = parts.shape[1];
  const auto [arrived, leaving] = rows(n, wire);
  // The own values are rounded as the others' are, so that every rank's count alike.
  if (leaving) convert_rows(parts, leaving, stream);
  const TensorView from = leaving ? leaving : parts;
  copy(row(arrived, rank_).reshape({n}), TensorView(row(from, rank_).data, {n}, wire, device_), stream);
  const auto count = static_cast<std::size_t>(n);
  const DataType type = data_type(wire);
  c.begin();
  for (int i = 1; i < size_; ++i) {
    const int to = (rank_ + i) % size_, other = (rank_ - i + size_) % size_;
    c.add([&] { return c.api().send(row(from, to).data, count, type, to, c.comm(), native(stream)); });
    c.add(
        [&] { return c.api().recv(row(arrived, other).data, count, type, other, c.comm(), native(stream)); });
  }
  c.end();
  reduce_rows(arrived, out, how.op, stream);
}

// Of (size n): every rank reduces its part, then all get all parts.
void TreeReduction::all_reduce_slice(Connection& c, const Stream& stream, const TensorView& slice,
                                     Reduction how) {
  const std::int64_t n = slice.numel() / size_;
  const TensorView parts = slice.reshape({size_, n}), own = row(parts, rank_);
  reduce_part(c, stream, parts, own.reshape({n}), how);
  const TensorView leaving = rows(n, wire_of(slice, how)).leaving;
  if (!leaving) return gather_rows(c, stream, parts, rank_);
  convert_rows(own, row(leaving, rank_), stream);
  gather_rows(c, stream, leaving, rank_);
  convert_rows(leaving, parts, stream);
}

void TreeReduction::all_reduce_gathered(Connection& c, const Stream& stream, const TensorView& few,
                                        Reduction how) {
  const std::int64_t n = few.numel();
  const auto [arrived, leaving] = rows(n, wire_of(few, how));
  const TensorView wide = few.reshape({1, n});
  if (leaving) {
    convert_rows(wide, row(arrived, rank_), stream);
  } else {
    copy(row(arrived, rank_), wide, stream);
  }
  gather_rows(c, stream, arrived, rank_);
  reduce_rows(arrived, few, how.op, stream);
  if (!leaving) return;
  // As if it had been sent on.
  convert_rows(wide, row(leaving, 0), stream);
  convert_rows(row(leaving, 0), wide, stream);
}

}  // namespace rt::dist::nccl
