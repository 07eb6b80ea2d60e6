#include "rt/ops/add.h"

#include "ops/cpu/rows.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;

constexpr std::int64_t kGrain = std::int64_t{1} << 14;

template <class F>
void for_each_vector(std::int64_t n, const F& f) {
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += kLanes) f(i, end - i);
  });
}

}  // namespace

void add_forward(ExecContext& ctx, const AddArgs& args, const AddOuts& o) {
  if (ctx.dry_run) return;
  simd::dispatch_storage(o.y.dtype, [&]<class T>(T) {
    const T *a = args.a.as<T>(), *b = args.b.as<T>();
    T* y = o.y.as<T>();
    for_each_vector(o.y.numel(), [=](std::int64_t i, std::int64_t left) {
      simd::store_tail(y + i, load_tail(a + i, left) + load_tail(b + i, left), left);
    });
  });
}

void add_backward(ExecContext& ctx, const AddArgs&, const AddOuts&, const AddOutGrads& dout,
                  const AddGrads& g) {
  if (ctx.dry_run) return;
  simd::dispatch_storage(dout.y.dtype, [&]<class T>(T) {
    const T* dy = dout.y.as<T>();
    for (const GradSlot* slot : {&g.a, &g.b}) {
      if (!*slot) continue;
      const bool accumulate = slot->mode == GradMode::Accumulate;
      simd::dispatch_storage(slot->view.dtype, [&]<class G>(G) {
        G* to = slot->view.as<G>();
        for_each_vector(dout.y.numel(), [=](std::int64_t i, std::int64_t left) {
          put(to + i, load_tail(dy + i, left), left, accumulate);
        });
      });
    }
  });
}

}  // namespace rt::cpu
