#include "rt/ops/add.h"

#include "cuda/ops/piece.cuh"

namespace rt::cuda {
namespace {

constexpr int kThreads = 256, kPiece = 8;

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};

// dy is read once and before anything is written, so a slot's memory may be dy's; the slots may be one.
template <class T, class A, class B, bool Aligned>
__global__ void __launch_bounds__(kThreads)
    add_backward_kernel(const T* dy, Target<A> da, Target<B> db, std::int64_t n) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads * kPiece;
  for (std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPiece; i < n;
       i += stride) {
    Piece<T, kPiece, Aligned> in;
    float d[kPiece];
    in.load(dy + i, n - i);
    in.get(d);
    da.template put<Aligned>(i, n - i, d);
    in.get(d);
    db.template put<Aligned>(i, n - i, d);
  }
}

// Calls g(T*{}) for the slot's type, which is f32 where it is a parameter's; a skipped slot has any.
template <class G>
void dispatch_slot(const GradSlot& slot, DType otherwise, const G& g) {
  dispatch_storage(slot ? slot.view.dtype : otherwise, g);
}

}  // namespace

void add_forward(ExecContext& ctx, const AddArgs& a, const AddOuts& o) {
  map(ctx, "add_kernel", Sum{}, a.a, a.b, o.y);
}

void add_backward(ExecContext& ctx, const AddArgs&, const AddOuts&, const AddOutGrads& dout,
                  const AddGrads& g) {
  if (ctx.dry_run || (!g.a && !g.b)) return;
  const std::int64_t n = dout.y.numel();
  const bool aligned = n % kPiece == 0 && all_aligned({&dout.y, &g.a.view, &g.b.view});
  dispatch_rows(dout.y.dtype, aligned, [&]<class T, bool Aligned>(T*, std::bool_constant<Aligned>) {
    dispatch_slot(g.a, dout.y.dtype, [&]<class A>(A*) {
      dispatch_slot(g.b, dout.y.dtype, [&]<class B>(B*) {
        launch("add_backward_kernel", add_backward_kernel<T, A, B, Aligned>,
               capped_grid(n, kThreads * kPiece), dim3(kThreads), 0, stream_of(ctx), device_ptr<T>(dout.y),
               target<A>(g.a), target<B>(g.b), n);
      });
    });
  });
}

}  // namespace rt::cuda
