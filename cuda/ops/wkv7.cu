#include "cuda/ops/wkv7.cuh"

namespace rt::cuda {
namespace {

bool chunked(const Wkv7Args& a) { return !wkv7_saved(Impl::Cuda, a.r.dtype, a.head_size, a.decay).sa; }

// The chunk kernels read and write 16 bytes at a time.
void check_aligned(std::initializer_list<const TensorView*> views) {
  for (const TensorView* view : views) {
    RT_CHECK(reinterpret_cast<std::uintptr_t>(view->data) % 16 == 0,
             "wkv7: a tensor {} is not aligned to 16 bytes", view->shape);
  }
}

}  // namespace

void wkv7_forward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o) {
  if (!chunked(a)) {
    if (!ctx.dry_run) wkv7_impl::sequential_forward(ctx, a, o);
    return;
  }
  if (!ctx.dry_run)
    check_aligned({&a.r, &a.w, &a.k, &a.v, &a.a, &a.b, &a.s0, &o.y, &o.state, &o.chunk_states});
  wkv7_impl::chunk_forward(ctx, a, o);
}

void wkv7_backward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o, const Wkv7OutGrads& dout,
                   const Wkv7Grads& g) {
  if (!chunked(a)) return wkv7_impl::sequential_backward(ctx, a, o, dout, g);
  if (!ctx.dry_run) {
    check_aligned({&a.r, &a.w, &a.k, &a.v, &a.a, &a.b, &a.s0, &o.chunk_states, &dout.y, &dout.state});
    check_aligned({&g.r.view, &g.w.view, &g.k.view, &g.v.view, &g.a.view, &g.b.view, &g.s0.view});
  }
  wkv7_impl::chunk_backward(ctx, a, o, dout, g);
}

void wkv7_step(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o) {
  if (ctx.dry_run) return;
  RT_CHECK(a.r.shape[1] == 1 && a.s0.data == o.state.data, "wkv7 step: one token and the state in place");
  wkv7_impl::sequential_step(ctx, a, o);
}

}  // namespace rt::cuda
