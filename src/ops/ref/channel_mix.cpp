#include "rt/ops/channel_mix.h"

#include <vector>

#include "ops/ref/accumulate.h"

namespace rt::ref {

void channel_mix_forward(ExecContext& ctx, const ChannelMixArgs& a, const ChannelMixOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t F = a.key.shape[0], C = a.key.shape[1], rows = a.x.numel() / C;
  const double *x = a.x.as<double>(), *key = a.key.as<double>(), *value = a.value.as<double>();
  double* y = o.y.as<double>();
  std::vector<double> act(static_cast<std::size_t>(F));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t f = 0; f < F; ++f) {
      double h = 0;
      for (std::int64_t c = 0; c < C; ++c) h += x[i * C + c] * key[f * C + c];
      act[static_cast<std::size_t>(f)] = h > 0 ? h * h : 0;
      if (o.act) o.act.as<double>()[i * F + f] = act[static_cast<std::size_t>(f)];
    }
    for (std::int64_t c = 0; c < C; ++c) {
      double sum = 0;
      for (std::int64_t f = 0; f < F; ++f) sum += act[static_cast<std::size_t>(f)] * value[c * F + f];
      y[i * C + c] = sum;
    }
  }
}

// Recomputes h instead of reading act, so that the square-root form of the fast kernels is put to the test.
void channel_mix_backward(ExecContext& ctx, const ChannelMixArgs& a, const ChannelMixOuts&,
                          const ChannelMixOutGrads& dout, const ChannelMixGrads& g) {
  if (ctx.dry_run) return;
  const std::int64_t F = a.key.shape[0], C = a.key.shape[1], rows = a.x.numel() / C;
  const double *x = a.x.as<double>(), *key = a.key.as<double>(), *value = a.value.as<double>();
  const double* dy = dout.y.as<double>();
  const GradRef dx(g.x), dkey(g.key), dvalue(g.value);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t f = 0; f < F; ++f) {
      double h = 0, dact = 0;
      for (std::int64_t c = 0; c < C; ++c) h += x[i * C + c] * key[f * C + c];
      const double relu = h > 0 ? h : 0;
      for (std::int64_t c = 0; c < C; ++c) {
        dact += dy[i * C + c] * value[c * F + f];
        dvalue.add(c * F + f, dy[i * C + c] * relu * relu);
      }
      const double dh = 2 * relu * dact;
      for (std::int64_t c = 0; c < C; ++c) {
        dkey.add(f * C + c, dh * x[i * C + c]);
        dx.add(i * C + c, dh * key[f * C + c]);
      }
    }
  }
}

}  // namespace rt::ref
