#include <cmath>

#include "apps/bench.h"
#include "apps/model_options.h"
#include "rt/core/parallel.h"
#include "rt/ops/gemm_rate.h"
#include "rt/ops/wkv7.h"

namespace rt {
namespace {

struct Sizes {
  std::int64_t B = 1, T = 512, H = 12, N = 64;
  int repeats = 5;
  double tokens_heads() const { return static_cast<double>(B * T * H); }
};

// Inputs, outputs and gradients of one call, as a model makes them: a = -k/|k| and b = k/|k| times a rate.
struct Problem {
  Tensor r, w, k, v, a, b, y, state, sa, chunks, dy, dr, dw, dk, dv, da, db;

  explicit Problem(const Sizes& s) {
    const Shape x{s.B, s.T, s.H * s.N}, whole{s.B, s.H, s.N, s.N};
    const std::int64_t pieces = (s.T + kWkv7Chunk - 1) / kWkv7Chunk;
    for (Tensor* t : {&r, &w, &k, &v, &a, &b, &y, &sa, &dy, &dr, &dw, &dk, &dv, &da, &db}) {
      *t = Tensor(x, DType::F32);
    }
    state = Tensor(whole, DType::F32);
    chunks = Tensor({s.B, s.H, pieces - 1, s.N, s.N}, DType::F32);
    std::uint64_t stream = 0;
    for (Tensor* t : {&r, &w, &k, &v, &dy}) {
      const Rng rng{1, stream++};
      auto* out = t->view.as<float>();
      for (std::int64_t i = 0; i < x.numel(); ++i) out[i] = float(rng.normal(static_cast<std::uint64_t>(i)));
    }
    fill_removal(s.N);
  }

  Wkv7Args args(const Sizes& s) const {
    return {r.view, w.view, k.view, v.view, a.view, b.view, {}, {}, s.N, Wkv7Decay::Clamped};
  }
  Wkv7Outs outs() const { return {y.view, state.view, sa.view, chunks.view, {}}; }
  Wkv7Grads grads() const {
    const auto into = [](const Tensor& t) { return GradSlot{t.view, GradMode::Overwrite}; };
    return {into(dr), into(dw), into(dk), into(dv), into(da), into(db), {}};
  }

 private:
  void fill_removal(std::int64_t N) {
    const auto* key = k.view.as<float>();
    for (std::int64_t head = 0; head < k.view.numel() / N; ++head) {
      double norm = 1e-12;
      for (std::int64_t j = 0; j < N; ++j) norm += double(key[head * N + j]) * double(key[head * N + j]);
      for (std::int64_t j = 0; j < N; ++j) {
        const auto unit = static_cast<float>(double(key[head * N + j]) / std::sqrt(norm));
        a.view.as<float>()[head * N + j] = -unit;
        b.view.as<float>()[head * N + j] = 0.5f * unit;
      }
    }
  }
};

// Operations as the recurrence is written: 10 N^2 forward and three times that backward, per token and head.
void measure(const Sizes& s, const std::string& suffix, BenchReport& report) {
  const Problem p(s);
  const auto& kernels = wkv7_table().at(Impl::Cpu);
  Workspace dry(Device::cpu(), Impl::Cpu);
  kernels.forward(dry.ctx(), p.args(s), p.outs());
  kernels.backward(dry.ctx(), p.args(s), p.outs(), {p.dy.view, {}}, p.grads());
  Workspace live(Device::cpu(), Impl::Cpu, 0, dry.scratch().high_water(), 0);
  const double forward = best_seconds(s.repeats, [&] { kernels.forward(live.ctx(), p.args(s), p.outs()); });
  const double backward = best_seconds(s.repeats, [&] {
    kernels.backward(live.ctx(), p.args(s), p.outs(), {p.dy.view, {}}, p.grads());
  });
  const double sgemm = measure_sgemm_flops();
  const double flops = 10.0 * double(s.N * s.N) * s.tokens_heads();
  const auto row = [&](const std::string& what, double work, double seconds) {
    report.value(what + "_ms" + suffix, 1e3 * seconds, "ms");
    report.value(what + "_rate" + suffix, work / seconds / 1e9, "GFLOP/s");
    report.value(what + "_of_sgemm" + suffix, work / seconds / sgemm, "");
  };
  report.value("sgemm" + suffix, sgemm / 1e9, "GFLOP/s");
  row("forward", flops, forward);
  row("backward", 3 * flops, backward);
  row("both", 4 * flops, forward + backward);
  report.value("tokens_per_s" + suffix, double(s.B * s.T) / (forward + backward), "tokens/s");
}

}  // namespace

int bench_wkv7_main(int argc, char** argv) {
  Sizes s;
  std::int64_t threads = 0, repeats = s.repeats;
  std::optional<std::string> json;
  Options options("rwkv bench wkv7", "The recurrence alone, against the matrix product in the same run.");
  options.count("-B,--batch", s.B, "Sequences");
  options.count("-T,--time", s.T, "Tokens of each");
  options.count("-H,--heads", s.H, "Heads");
  options.count("-N,--head-size", s.N, "Channels per head: a multiple of 16 from 16 to 256");
  options.count("--repeats", repeats, "Timed runs; the best counts");
  options.count("--threads", threads, "Threads; 0: one per core");
  options.text("--json", json, "Also write the figures to this file");
  if (!options.parse(argc, argv)) return 0;
  if (s.B < 1 || s.T < 1 || s.H < 1 || s.N < 16 || s.N > 256 || s.N % 16 != 0 || repeats < 1) {
    fail(Exit::Config,
         "rwkv bench wkv7: sizes must be at least 1, and the head size a multiple of 16 to 256.");
  }
  s.repeats = static_cast<int>(std::min<std::int64_t>(repeats, 1000));
  use_threads(threads);
  BenchReport report("wkv7");
  report.text("sizes", format("B {}, T {}, H {}, N {}", s.B, s.T, s.H, s.N));
  const int all = num_threads();
  measure(s, "", report);
  if (all > 1) {
    set_num_threads(1);
    measure(s, "_1_thread", report);
  }
  report.write(json);
  return 0;
}

}  // namespace rt
