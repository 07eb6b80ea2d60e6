#pragma once
#include "cuda/dist/nccl_connection.h"
#include "rt/core/buffer.h"
#include "rt/core/stream.h"
#include "rt/dist/communicator.h"

namespace rt::dist::nccl {

DataType data_type(DType dtype);

// Reductions in the order of Communicator's tree: ranks send each other their values of what each is to
// merge, a chunk at a time. Of one thread, and of one stream.
class TreeReduction {
 public:
  TreeReduction(int rank, int size, Device device, std::size_t staging)
      : rank_(rank), size_(size), device_(device), staging_(staging) {}

  void all_reduce(Connection& c, const Stream& stream, const TensorView& view, Reduction how);
  void reduce_scatter(Connection& c, const Stream& stream, const TensorView& in, const TensorView& out,
                      Reduction how);
  std::byte* room();  // device memory, of which a byte per rank may be used between reductions

 private:
  struct Rows {
    TensorView arrived, leaving;  // (size, n); `leaving` only where the wire is narrower
  };
  std::int64_t chunk(DType wire) const;  // the most columns that there is room for
  Rows rows(std::int64_t n, DType wire);
  void reduce_part(Connection& c, const Stream& stream, const TensorView& parts, const TensorView& out,
                   Reduction how);
  void all_reduce_slice(Connection& c, const Stream& stream, const TensorView& slice, Reduction how);
  void all_reduce_gathered(Connection& c, const Stream& stream, const TensorView& few, Reduction how);

  int rank_, size_;
  Device device_;
  std::size_t staging_;
  Buffer buffer_;
};

}  // namespace rt::dist::nccl
