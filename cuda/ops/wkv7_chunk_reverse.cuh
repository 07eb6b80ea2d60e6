#pragma once
#include "cuda/ops/wkv7_chunk_state.cuh"

// dS carried over one chunk, last to first.
namespace rt::cuda::wkv7_impl {

__device__ __forceinline__ void carry_chunk_back(const Chunk<Pass::Reverse>& x, State& dS) {
  const Starts starts{x.starts()};
  unsigned s[kN / 16][4], dy[4], dx[4];
  float du[2][4], c[2][4];
  clear(du);
  clear(c);
  dS.scale(x.last());
  dS.as_operand(s);
  add_state_product(du, s, x.b());
  if (starts.any()) {
    keep_columns(du, starts.seen());
    dS.zero();
  }
  load_a_transposed(dy, x.values(), 0, dS.value);
  add_pairs_transposed(du, dy, x.qb());
  as_a(dx, du);
  add_pairs_transposed(c, dx, x.inv());
  as_a(dx, c);
  if (starts.any()) {
    keep_columns(dy, starts.seeing());
    keep_columns(dx, starts.seeing());
  }
  dS.add(dy, x.q());
  dS.add(dx, x.a());
}

// Carries dS from after token end - 1 to before token begin, by the whole block. states: null, or
// (heads, intervals, N, N) in the kernels' order, which get dS after each interval times the interval's
// P_last.
__device__ __forceinline__ void reverse_block(const Inputs<bf16_t>& in, const bf16_t* dy, int head,
                                              std::int64_t begin, std::int64_t end, State& dS,
                                              bf16_t* states) {
  using X = Chunk<Pass::Reverse>;
  Smem sm;
  bf16_t* const chunks = sm.take<bf16_t>(2 * kPreparers * X::kSize);
  const std::int64_t intervals = (in.T_ + kInterval - 1) / kInterval, size = kN * kN;
  // Whole intervals, so that both chunks of one are in the same group; what is past the end does nothing.
  const int count = static_cast<int>((end - begin + kInterval - 1) / kInterval) * 2;
  const auto start = [&](int i) { return begin + static_cast<std::int64_t>(count - 1 - i) * kTokens; };
  run_chunks(
      count, [&](int slot, int i) { prepare_chunk(in, dy, head, start(i), X{chunks + slot * X::kSize}); },
      [&](int slot, int i) {
        const X x{chunks + slot * X::kSize};
        if (states && i % 2 == 0) {
          State scaled = dS;
          scaled.scale(x.last());
          scaled.scale(X{chunks + (slot + 1) * X::kSize}.last());
          scaled.save(states + (head * intervals + start(i) / kInterval) * size);
        }
        carry_chunk_back(x, dS);
      });
}

}  // namespace rt::cuda::wkv7_impl
