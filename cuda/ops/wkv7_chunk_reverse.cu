#include "cuda/ops/wkv7_chunk_reverse.cuh"

#include "cuda/ops/wkv7_chunk_gradients.cuh"
#include "cuda/ops/wkv7_chunk_split.cuh"

namespace rt::cuda::wkv7_impl {
namespace {

__global__ void __launch_bounds__(kPrepareThreads + 32 * kCarriers, 2)
    wkv7_reverse_chunk_kernel(Inputs<bf16_t> in, const bf16_t* dy, const float* dstate, bf16_t* states,
                              Out<float> ds0, Segment segments) {
  const int head = static_cast<int>(blockIdx.x), segment = static_cast<int>(blockIdx.y);
  const bool last = segment + 1 == static_cast<int>(gridDim.y);
  const std::int64_t begin = segment * segments.length, size = kN * kN;
  State dS;
  if (warp_id() >= kPreparers)
    dS.load(!last ? segments.cut(head, segment) : dstate ? dstate + head * size : nullptr);
  reverse_block(in, dy, head, begin, last ? in.T_ : begin + segments.length, dS, states);
  if (warp_id() >= kPreparers && ds0.data && segment == 0) dS.store(ds0.data + head * size, ds0.accumulate);
}

}  // namespace

void chunk_backward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o, const Wkv7OutGrads& dout,
                    const Wkv7Grads& g) {
  const std::int64_t T = a.r.shape[1], intervals = (T + kInterval - 1) / kInterval;
  const Wkv7Split split = wkv7_split(heads_of(a), T);
  const ArenaScope scope(ctx.scratch);
  const TensorView states = ctx.scratch.alloc({heads_of(a), intervals, kN, kN}, DType::BF16, "wkv7.dstates");
  {
    const ArenaScope inner(ctx.scratch);
    const TensorView cuts = backward_cuts(ctx, a, dout, split, o.maps);
    if (!ctx.dry_run) {
      RT_LAUNCH(wkv7_reverse_chunk_kernel,
                dim3(static_cast<unsigned>(heads_of(a)), static_cast<unsigned>(split.count)),
                dim3(kPrepareThreads + 32 * kCarriers), chunk_bytes<Pass::Reverse>(2), stream_of(ctx),
                Inputs<bf16_t>(a), reinterpret_cast<const bf16_t*>(dout.y.data),
                dout.state ? dout.state.as<float>() : nullptr, reinterpret_cast<bf16_t*>(states.data),
                Out<float>(g.s0), Segment{split.length, reinterpret_cast<const float*>(cuts.data)});
    }
  }
  if (!ctx.dry_run) interval_gradients(ctx, a, o, dout, states, g);
}

}  // namespace rt::cuda::wkv7_impl
