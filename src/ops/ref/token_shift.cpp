#include "rt/ops/token_shift.h"

#include "ops/ref/accumulate.h"

namespace rt::ref {
namespace {

// The previous token as token t of sequence b sees it; null reads as zero.
const double* previous(const TokenShiftArgs& a, std::int64_t b, std::int64_t t) {
  const std::int64_t T = a.x.shape[1], C = a.x.shape[2];
  if (a.reset && a.reset.as<std::uint8_t>()[b * T + t]) return nullptr;
  if (t > 0) return a.x.as<double>() + (b * T + t - 1) * C;
  return a.shift_state ? a.shift_state.as<double>() + b * C : nullptr;
}

}  // namespace

void token_shift_forward(ExecContext& ctx, const TokenShiftArgs& a, const TokenShiftOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t B = a.x.shape[0], T = a.x.shape[1], C = a.x.shape[2];
  const double* x = a.x.as<double>();
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t t = 0; t < T; ++t) {
      const double* prev = previous(a, b, t);
      for (std::int64_t c = 0; c < C; ++c) {
        const std::int64_t i = (b * T + t) * C + c;
        const double shift = (prev ? prev[c] : 0) - x[i];
        for (std::size_t n = 0; n < a.count; ++n) {
          o.y[n].as<double>()[i] = x[i] + shift * a.mix[n].as<double>()[c];
        }
      }
    }
    for (std::int64_t c = 0; c < C; ++c) o.state.as<double>()[b * C + c] = x[((b + 1) * T - 1) * C + c];
  }
}

void token_shift_backward(ExecContext& ctx, const TokenShiftArgs& a, const TokenShiftOuts&,
                          const TokenShiftOutGrads& dout, const TokenShiftGrads& g) {
  if (ctx.dry_run) return;
  const std::int64_t B = a.x.shape[0], T = a.x.shape[1], C = a.x.shape[2];
  const double* x = a.x.as<double>();
  const GradRef dx(g.x), dshift_state(g.shift_state);
  for (std::size_t n = 0; n < a.count; ++n) {
    const GradRef dmix(g.mix[n]);
    if (!dout.y[n]) continue;
    const double *dy = dout.y[n].as<double>(), *mix = a.mix[n].as<double>();
    for (std::int64_t i = 0; i < B * T * C; ++i) {
      const std::int64_t b = i / (T * C), t = i / C % T, c = i % C;
      const double* prev = previous(a, b, t);
      dx.add(i, dy[i] * (1 - mix[c]));
      dmix.add(c, dy[i] * ((prev ? prev[c] : 0) - x[i]));
      if (!prev) continue;
      if (t > 0) {
        dx.add(i - C, dy[i] * mix[c]);
      } else {
        dshift_state.add(b * C + c, dy[i] * mix[c]);
      }
    }
  }
  for (std::int64_t i = 0; dout.state && i < B * C; ++i) {
    dx.add(((i / C + 1) * T - 1) * C + i % C, dout.state.as<double>()[i]);
  }
}

}  // namespace rt::ref
