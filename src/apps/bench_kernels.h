#pragma once
#include <functional>
#include <string>
#include <vector>

#include "rt/autograd/tape.h"

namespace rt {

// One op at one size, as `rwkv bench kernels` runs it: what goes in, the call, and what it must cost at
// least.
struct KernelInput {
  enum class Kind : std::uint8_t { Activation, Weight, Accumulator, Ids, Bytes };
  Shape shape;
  Kind kind = Kind::Activation;  // Accumulator: f32 (f64 for Ref) whatever the storage; may be updated
  double lo = -1, hi = 1;        // uniform; Ids: integers in [lo, hi)
  bool differentiable = true;
  std::string contents = {};  // Bytes: exactly these
};

struct KernelCase {
  std::string name;
  std::vector<KernelInput> inputs;
  std::function<VarList(Tape&, const VarList&)> run;  // an empty result has no backward
  bool seeded_with_ones = false;                      // else backward starts from drawn numbers
  // Elements of storage type that must be read or written once, bytes of f32 state beside them, and
  // operations of matrix products: the floor is the larger of the two times.
  double forward_elements = 0, forward_bytes = 0, forward_flops = 0;
  double backward_elements = 0, backward_bytes = 0, backward_flops = 0;
};

struct KernelSizes {
  std::int64_t B = 8, T = 4096, C = 1024, N = 64, F = 4096, V = 65536;
  std::int64_t rows() const { return B * T; }
};

std::vector<KernelCase> kernel_cases(const KernelSizes& s);

}  // namespace rt
