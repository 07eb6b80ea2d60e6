#include "rt/ops/wkv7.h"

#include <cmath>
#include <vector>

#include "ops/ref/accumulate.h"

namespace rt::ref {
namespace {

struct Dims {
  std::int64_t B, T, C, N, H;
  explicit Dims(const Wkv7Args& a)
      : B(a.r.shape[0]), T(a.r.shape[1]), C(a.r.shape[2]), N(a.head_size), H(C / N) {}
};

const double kClampScale = std::exp(-0.5);
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double decay(double w, Wkv7Decay kind) {
  return kind == Wkv7Decay::Raw ? std::exp(-std::exp(w)) : std::exp(-kClampScale * sigmoid(w));
}
double decay_slope(double w, Wkv7Decay kind) {  // d decay / d w
  const double d = decay(w, kind);
  if (kind == Wkv7Decay::Raw) return d > 0 ? -std::exp(w) * d : 0;
  return -kClampScale * sigmoid(w) * (1 - sigmoid(w)) * d;
}

bool is_reset(const Wkv7Args& a, std::int64_t b, std::int64_t t) {
  return a.reset && a.reset.as<std::uint8_t>()[b * a.r.shape[1] + t] != 0;
}

// S and sa of one token; S is (N, N) and becomes the state after it. x0: the token's first channel.
void advance(const Wkv7Args& args, std::int64_t x0, double* S, double* sa) {
  const std::int64_t N = args.head_size;
  const double *w = args.w.as<double>() + x0, *k = args.k.as<double>() + x0, *v = args.v.as<double>() + x0;
  const double *a = args.a.as<double>() + x0, *b = args.b.as<double>() + x0;
  double d[256];
  for (std::int64_t j = 0; j < N; ++j) d[j] = decay(w[j], args.decay);
  for (std::int64_t i = 0; i < N; ++i) {
    sa[i] = 0;
    for (std::int64_t j = 0; j < N; ++j) sa[i] += S[i * N + j] * a[j];
    for (std::int64_t j = 0; j < N; ++j) { S[i * N + j] = S[i * N + j] * d[j] + sa[i] * b[j] + v[i] * k[j]; }
  }
}

using Matrix = std::vector<double>;
Matrix first_state(const Wkv7Args& a, std::int64_t head, std::int64_t size) {
  Matrix S(static_cast<std::size_t>(size));
  if (a.s0) S.assign(a.s0.as<double>() + head * size, a.s0.as<double>() + (head + 1) * size);
  return S;
}

}  // namespace

void wkv7_forward(ExecContext& ctx, const Wkv7Args& args, const Wkv7Outs& o) {
  if (ctx.dry_run) return;
  const Dims n(args);
  std::vector<double> sa(static_cast<std::size_t>(n.N));
  for (std::int64_t head = 0; head < n.B * n.H; ++head) {
    const std::int64_t b = head / n.H;
    Matrix S = first_state(args, head, n.N * n.N);
    for (std::int64_t t = 0; t < n.T; ++t) {
      const std::int64_t x0 = (b * n.T + t) * n.C + head % n.H * n.N;
      if (is_reset(args, b, t)) S.assign(S.size(), 0);
      advance(args, x0, S.data(), sa.data());
      for (std::int64_t i = 0; i < n.N; ++i) {
        double y = 0;
        for (std::int64_t j = 0; j < n.N; ++j) {
          y += S[static_cast<std::size_t>(i * n.N + j)] * args.r.as<double>()[x0 + j];
        }
        o.y.as<double>()[x0 + i] = y;
      }
    }
    std::copy(S.begin(), S.end(), o.state.as<double>() + head * n.N * n.N);
  }
}

void wkv7_backward(ExecContext& ctx, const Wkv7Args& args, const Wkv7Outs&, const Wkv7OutGrads& dout,
                   const Wkv7Grads& g) {
  if (ctx.dry_run) return;
  const Dims n(args);
  const std::int64_t N = n.N, size = N * N;
  const GradRef dr(g.r), dw(g.w), dk(g.k), dv(g.v), da(g.a), db(g.b), ds0(g.s0);
  for (std::int64_t head = 0; head < n.B * n.H; ++head) {
    const std::int64_t b = head / n.H;
    const auto channel = [&](std::int64_t t) { return (b * n.T + t) * n.C + head % n.H * N; };
    std::vector<Matrix> before, after;  // of each token; they differ from after[t - 1] by the reset
    Matrix S = first_state(args, head, size), sa(static_cast<std::size_t>(n.T * N));
    for (std::int64_t t = 0; t < n.T; ++t) {
      if (is_reset(args, b, t)) S.assign(S.size(), 0);
      before.push_back(S);
      advance(args, channel(t), S.data(), sa.data() + t * N);
      after.push_back(S);
    }
    Matrix dS(static_cast<std::size_t>(size)), dsa(static_cast<std::size_t>(N));
    if (dout.state)
      dS.assign(dout.state.as<double>() + head * size, dout.state.as<double>() + (head + 1) * size);
    for (std::int64_t t = n.T; t-- > 0;) {
      const double *pre = before[static_cast<std::size_t>(t)].data(),
                   *post = after[static_cast<std::size_t>(t)].data();
      const std::int64_t x0 = channel(t);
      const double *r = args.r.as<double>() + x0, *w = args.w.as<double>() + x0,
                   *k = args.k.as<double>() + x0;
      const double *v = args.v.as<double>() + x0, *a = args.a.as<double>() + x0,
                   *bb = args.b.as<double>() + x0;
      double d[256], slope[256];
      for (std::int64_t j = 0; j < N; ++j) {
        d[j] = is_reset(args, b, t) ? 0 : decay(w[j], args.decay);
        slope[j] = decay_slope(w[j], args.decay);
      }
      for (std::int64_t i = 0; i < N; ++i) {
        const double dy = dout.y ? dout.y.as<double>()[x0 + i] : 0;
        double* row = dS.data() + i * N;
        double& dsa_i = dsa[static_cast<std::size_t>(i)];
        dsa_i = 0;
        for (std::int64_t j = 0; j < N; ++j) {
          row[j] += dy * r[j];
          dr.add(x0 + j, post[i * N + j] * dy);
          dk.add(x0 + j, row[j] * v[i]);
          dv.add(x0 + i, row[j] * k[j]);
          dw.add(x0 + j, row[j] * pre[i * N + j] * slope[j]);
          db.add(x0 + j, row[j] * sa[static_cast<std::size_t>(t * N + i)]);
          dsa_i += row[j] * bb[j];
        }
        for (std::int64_t j = 0; j < N; ++j) {
          da.add(x0 + j, pre[i * N + j] * dsa_i);
          row[j] = row[j] * d[j] + (is_reset(args, b, t) ? 0 : dsa_i * a[j]);
        }
      }
    }
    for (std::int64_t i = 0; i < size; ++i) ds0.add(head * size + i, dS[static_cast<std::size_t>(i)]);
  }
}

}  // namespace rt::ref
