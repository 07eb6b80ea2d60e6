#include "rt/ops/key_prepare.h"

#include <cmath>

#include "ops/cpu/rows.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load;
using simd::store;
using simd::vf;

// Heads are whole vectors: head_size is a multiple of kLanes.
template <class T>
struct Inputs {
  const T *k, *rate, *k_k, *k_a;
  Inputs(const KeyPrepareArgs& args, std::int64_t row, std::int64_t C)
      : k(args.k.as<T>() + row * C),
        rate(args.rate.as<T>() + row * C),
        k_k(args.k_k.as<T>()),
        k_a(args.k_a.as<T>()) {}
};

template <class T>
void forward_row(const KeyPrepareArgs& args, const KeyPrepareOuts& o, std::int64_t row, std::int64_t C) {
  const Inputs<T> in(args, row, C);
  T *k = o.k.as<T>() + row * C, *a = o.a.as<T>() + row * C, *b = o.b.as<T>() + row * C;
  for (std::int64_t first = 0; first < C; first += args.head_size) {
    const std::int64_t end = first + args.head_size;
    vf square{};
    for (std::int64_t c = first; c < end; c += kLanes) {
      const vf u = load(in.k + c) * load(in.k_k + c);
      square += u * u;
    }
    const float inverse = 1.0f / std::max(std::sqrt(simd::sum(square)), static_cast<float>(kMinKeyNorm));
    for (std::int64_t c = first; c < end; c += kLanes) {
      const vf key = load(in.k + c), rate = load(in.rate + c);
      const vf kappa = key * load(in.k_k + c) * inverse;
      store(k + c, key * (1.0f + (rate - 1.0f) * load(in.k_a + c)));
      store(a + c, -kappa);
      store(b + c, kappa * rate);
    }
  }
}

template <class T>
vf load_or_zero(const T* p, std::int64_t c) {
  return p ? load(p + c) : vf{};
}

template <class T>
struct Outs {  // of one row; null when absent or skipped
  const T *k, *a, *b;
  T *dk, *drate;
  bool add_dk, add_drate;
  float *dk_k, *dk_a;
  Outs(const KeyPrepareOutGrads& dout, const KeyPrepareGrads& g, const ColumnSums& sums, std::int64_t block,
       std::int64_t row, std::int64_t C)
      : k(dout.k ? dout.k.as<T>() + row * C : nullptr),
        a(dout.a ? dout.a.as<T>() + row * C : nullptr),
        b(dout.b ? dout.b.as<T>() + row * C : nullptr),
        dk(g.k ? g.k.view.as<T>() + row * C : nullptr),
        drate(g.rate ? g.rate.view.as<T>() + row * C : nullptr),
        add_dk(g.k.mode == GradMode::Accumulate),
        add_drate(g.rate.mode == GradMode::Accumulate),
        dk_k(g.k_k ? sums.block(block, 0) : nullptr),
        dk_a(g.k_a ? sums.block(block, 1) : nullptr) {}
};

template <class T>
void backward_head(const Inputs<T>& in, const Outs<T>& g, std::int64_t first, std::int64_t end) {
  vf square{}, dot{};  // |u|^2 and u . dkappa
  for (std::int64_t c = first; c < end; c += kLanes) {
    const vf u = load(in.k + c) * load(in.k_k + c);
    square += u * u;
    dot += u * (load(in.rate + c) * load_or_zero(g.b, c) - load_or_zero(g.a, c));
  }
  const float norm = std::sqrt(simd::sum(square));
  const bool tiny = norm < static_cast<float>(kMinKeyNorm);  // the divisor is then a constant
  const float inverse = 1.0f / (tiny ? static_cast<float>(kMinKeyNorm) : norm);
  const float projection = tiny ? 0.0f : simd::sum(dot) * inverse;
  for (std::int64_t c = first; c < end; c += kLanes) {
    const vf k = load(in.k + c), rate = load(in.rate + c), k_k = load(in.k_k + c), k_a = load(in.k_a + c);
    const vf dk_out = load_or_zero(g.k, c), db = load_or_zero(g.b, c);
    const vf kappa = k * k_k * inverse;
    const vf du = (rate * db - load_or_zero(g.a, c) - kappa * projection) * inverse;
    const vf to_rate = dk_out * k;
    if (g.dk) put(g.dk + c, dk_out * (1.0f + (rate - 1.0f) * k_a) + du * k_k, kLanes, g.add_dk);
    if (g.drate) put(g.drate + c, kappa * db + to_rate * k_a, kLanes, g.add_drate);
    if (g.dk_k) store(g.dk_k + c, load(g.dk_k + c) + du * k);
    if (g.dk_a) store(g.dk_a + c, load(g.dk_a + c) + to_rate * (rate - 1.0f));
  }
}

}  // namespace

void key_prepare_forward(ExecContext& ctx, const KeyPrepareArgs& a, const KeyPrepareOuts& o) {
  if (ctx.dry_run) return;
  const RowPlan plan(a.k.shape);
  simd::dispatch_storage(a.k.dtype, [&]<class T>(T) {
    for_each_row_block(plan, [&](std::int64_t, std::int64_t first, std::int64_t end) {
      for (std::int64_t row = first; row < end; ++row) forward_row<T>(a, o, row, plan.C);
    });
  });
}

void key_prepare_backward(ExecContext& ctx, const KeyPrepareArgs& a, const KeyPrepareOuts&,
                          const KeyPrepareOutGrads& dout, const KeyPrepareGrads& g) {
  const ArenaScope scope(ctx.scratch);
  const RowPlan plan(a.k.shape);
  const ColumnSums sums(ctx, plan, 2);
  if (ctx.dry_run) return;
  simd::dispatch_storage(a.k.dtype, [&]<class T>(T) {
    for_each_row_block(plan, [&](std::int64_t block, std::int64_t first, std::int64_t end) {
      for (std::int64_t row = first; row < end; ++row) {
        const Inputs<T> in(a, row, plan.C);
        const Outs<T> outs(dout, g, sums, block, row, plan.C);
        for (std::int64_t c = 0; c < plan.C; c += a.head_size) backward_head(in, outs, c, c + a.head_size);
      }
    });
  });
  sums.reduce(0, g.k_k);
  sums.reduce(1, g.k_a);
}

}  // namespace rt::cpu
