#include "rt/ops/linear_cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/ref/accumulate.h"

namespace rt::ref {
namespace {

// Turns a counted row's logits into their gradient; returns -log p of the target.
double row_loss(std::vector<double>& logits, std::size_t target, double grad_scale, double l2wrap) {
  const auto top = std::max_element(logits.begin(), logits.end()) - logits.begin();  // first on ties
  const double max = logits[static_cast<std::size_t>(top)];
  double sum = 0;
  for (const double l : logits) sum += std::exp(l - max);
  const double loss = std::log(sum) + max - logits[target];
  for (double& l : logits) l = grad_scale * std::exp(l - max) / sum;
  logits[target] -= grad_scale;
  logits[static_cast<std::size_t>(top)] += grad_scale * l2wrap * max;
  return loss;
}

}  // namespace

void linear_cross_entropy_forward(ExecContext& ctx, const LinearCrossEntropyArgs& a,
                                  const LinearCrossEntropyOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t V = a.weight.shape[0], C = a.weight.shape[1], T = a.x.shape[1];
  const double *x = a.x.as<double>(), *w = a.weight.as<double>();
  const std::int32_t* targets = a.targets.as<std::int32_t>();
  const GradRef dx(o.dx ? GradSlot{o.dx, GradMode::Overwrite} : GradSlot{}), dw(o.weight);
  std::vector<double> logits(static_cast<std::size_t>(V));
  for (std::int64_t b = 0; b < a.x.shape[0]; ++b) {
    double loss = 0;
    for (std::int64_t i = b * T; i < (b + 1) * T; ++i) {
      if (targets[i] < -1 || targets[i] >= V) {
        fail(Exit::Data, "cross entropy: target {} at sequence {}, position {} is not in [-1, {})",
             targets[i], b, i - b * T, V);
      }
      if (o.rows) o.rows.as<double>()[i] = 0;
      if (targets[i] == -1) continue;
      for (std::int64_t v = 0; v < V; ++v) {
        double dot = 0;
        for (std::int64_t c = 0; c < C; ++c) dot += x[i * C + c] * w[v * C + c];
        logits[static_cast<std::size_t>(v)] = dot;
      }
      const double here = row_loss(logits, static_cast<std::size_t>(targets[i]), a.grad_scale, a.l2wrap);
      loss += here;
      if (o.rows) o.rows.as<double>()[i] = here;
      for (std::int64_t v = 0; v < V; ++v) {
        for (std::int64_t c = 0; c < C; ++c) {
          dx.add(i * C + c, logits[static_cast<std::size_t>(v)] * w[v * C + c]);
          dw.add(v * C + c, logits[static_cast<std::size_t>(v)] * x[i * C + c]);
        }
      }
    }
    o.loss.as<double>()[b] = loss;
  }
}

void linear_cross_entropy_backward(ExecContext& ctx, const LinearCrossEntropyArgs& a,
                                   const LinearCrossEntropyOuts& o, const LinearCrossEntropyOutGrads& dout,
                                   const LinearCrossEntropyGrads& g) {
  if (ctx.dry_run) return;
  for (std::int64_t b = 0; b < dout.loss.numel(); ++b) {
    RT_CHECK(dout.loss.as<double>()[b] == 1, "cross entropy: its loss was seeded with {}, not 1",
             dout.loss.as<double>()[b]);
  }
  const GradRef dx(g.x);
  for (std::int64_t i = 0; dx && i < a.x.numel(); ++i) dx.add(i, o.dx.as<double>()[i]);
}

}  // namespace rt::ref
