#include "rt/train/scale.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rt/core/error.h"
#include "rt/train/planner.h"
#include "train/scale_timeline.h"

namespace rt {
namespace {

ModelSpec model(std::int64_t layers, std::int64_t width, std::int64_t vocab = 65536) {
  ModelSpec spec;
  spec.layers = layers;
  spec.width = width;
  spec.vocab = vocab;
  return spec.resolve();
}

ScaleRun run_of(const ModelSpec& spec, std::int64_t world, std::int64_t sequences_per_gpu = 8,
                std::int64_t seq_len = 4096) {
  ScaleRun run;
  run.model = spec;
  run.world = world;
  run.seq_len = seq_len;
  run.global_tokens = world * sequences_per_gpu * seq_len;
  run.recompute = Recompute::Block;
  return run;
}

std::string why_not(const ScaleRun& run, const Machine& machine) {
  try {
    estimate_scale(run, machine);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::Config);
    return e.what();
  }
  return "";
}

const Machine& h100() { return find_machine("h100x8"); }

TEST(Scale, OneGpuTakesWhatThePlannerPlans) {
  for (const DType moments : {DType::F32, DType::BF16}) {
    ModelSpec odd;  // so that parameters are padded in the store
    odd.layers = 3;
    odd.width = 48;
    odd.head_size = 16;
    odd.vocab = 131;
    ScaleRun run = run_of(odd.resolve(), 1, 4, 63);
    run.moments = moments;
    run.micro_sequences = 2;
    const ScaleEstimate e = estimate_scale(run, h100());

    RunConfig config;
    config.device = Device::cpu();
    config.precision.compute = DType::BF16;
    config.data.seq_len = run.seq_len;
    config.batch.micro_sequences = 2;
    config.batch.global_tokens = 2 * run.seq_len;
    config.optimizer.moments = moments;
    config.parallel.recompute = config::Recompute::Block;
    const Plan plan = make_plan(config, run.model, SIZE_MAX);
    EXPECT_EQ(e.parameters, plan.parameters);
    EXPECT_EQ(e.active_parameters, plan.active_parameters);
    EXPECT_EQ(e.memory.weights + e.memory.masters, double(plan.weights));
    EXPECT_EQ(e.memory.gradients, double(plan.gradients));
    EXPECT_EQ(e.memory.moments, double(plan.optimizer));
    EXPECT_EQ(e.memory.activations, double(plan.saved + plan.scratch + plan.grad_pool + plan.batches));
    EXPECT_EQ(e.memory.communication, 0);
    EXPECT_EQ(e.accumulation, 2);
  }
}

TEST(Scale, OneGpuSendsNothing) {
  for (const int zero : {0, 1, 2, 3}) {
    ScaleRun run = run_of(model(4, 128), 1);
    run.zero = zero;
    const ScaleEstimate e = estimate_scale(run, h100()),
                        plain = estimate_scale(run_of(model(4, 128), 1), h100());
    EXPECT_EQ(e.traffic.reduce_bytes + e.traffic.gather_bytes, 0);
    EXPECT_EQ(e.traffic.reduce_seconds + e.traffic.gather_seconds + e.traffic.exposed, 0);
    EXPECT_EQ(e.memory.total(), plain.memory.total());
    EXPECT_EQ(e.step_seconds, plain.step_seconds);
  }
}

TEST(Scale, EveryStageOfZeroTakesLess) {
  ScaleRun run = run_of(model(32, 4096), 64);
  run.micro_sequences = 1;
  RankMemory before;
  for (run.zero = 0; run.zero <= 3; ++run.zero) {
    const RankMemory m = estimate_scale(run, h100()).memory;
    if (run.zero > 0) {
      EXPECT_LT(m.total(), before.total()) << run.zero;
      EXPECT_NEAR(m.moments, 8.0 / 4 * m.masters, 1);
    }
    before = m;
  }
  run.zero = 1;
  const double masters = estimate_scale(run, h100()).memory.masters;
  run.zero = 0;
  // 34 units, each rounded up to whole elements.
  EXPECT_NEAR(masters, estimate_scale(run, h100()).memory.masters / 64, 34 * 4);
}

TEST(Scale, RingsSendTheClosedForm) {
  EXPECT_EQ(ring_bytes(800, 1), 0);
  EXPECT_EQ(ring_bytes(800, 8), 700);
  const Machine& m = h100();
  EXPECT_EQ(ring_seconds(1e9, 1, m), 0);
  EXPECT_DOUBLE_EQ(ring_seconds(1e9, 8, m), 7 * m.link_latency + 0.875e9 / m.link);
  EXPECT_DOUBLE_EQ(ring_seconds(1e9, 2, m), m.link_latency + 0.5e9 / m.link);
  // Four nodes: 7/8 within, and 3/4 of an eighth between, whichever is slower.
  EXPECT_DOUBLE_EQ(ring_seconds(1e9, 32, m), 7 * m.link_latency + 3 * m.network_latency +
                                                 std::max(0.875e9 / m.link, 0.75 * 1e9 / 8 / m.network));
  EXPECT_GT(ring_seconds(1e9, 32, find_machine("4090x8")), 10 * ring_seconds(1e9, 32, m));
}

TEST(Scale, StagesSendTheirClosedForms) {
  ScaleRun run = run_of(model(12, 768), 64, 8);
  run.micro_sequences = 2;  // four micro-steps
  ScaleRun whole = run;
  whole.zero = 0;
  const double P = estimate_scale(whole, h100()).memory.masters / 4, share = 63.0 / 64;
  const struct {
    int zero;
    DType wire;
    double reduce, gather;  // bytes a parameter
  } cases[] = {{0, DType::F32, 4, 4},  {0, DType::BF16, 2, 2}, {1, DType::F32, 4, 2},
               {1, DType::BF16, 2, 2}, {2, DType::F32, 16, 2}, {3, DType::BF16, 8, 16}};
  for (const auto& c : cases) {
    run.zero = c.zero;
    run.wire = c.wire;
    const StepTraffic t = estimate_scale(run, h100()).traffic;
    EXPECT_NEAR(t.reduce_bytes, c.reduce * P * share, 1) << c.zero;
    EXPECT_NEAR(t.gather_bytes, c.gather * P * share, 1) << c.zero;
  }
}

// Three units of 1 s forward and 2 s backward, collectives as given: by hand.
TEST(Scale, TimelineOverlaps) {
  const auto seconds = [](double reduce, double gather, int zero, std::int64_t micro) {
    const std::vector<scale::UnitTime> units(3, {1, 2, reduce, gather});
    return scale::timeline_seconds(units, zero, micro);
  };
  EXPECT_EQ(seconds(0, 0, 1, 2), 18);
  EXPECT_EQ(seconds(1, 0.5, 0, 1), 10);    // the last reduction shows
  EXPECT_EQ(seconds(1, 0.5, 1, 1), 10.5);  // and the first gather
  EXPECT_EQ(seconds(1, 3, 1, 1), 17);      // forward waits for every gather: 3, 6, 9, then 1 + 6 + 1
  EXPECT_EQ(seconds(4, 0, 1, 1), 3 + 2 + 12);
  EXPECT_EQ(seconds(1, 0, 1, 2), 19);  // once a step
  EXPECT_EQ(seconds(4, 0, 2, 1), 3 + 2 + 12);
  // In two micro-steps six reductions; the second three wait for nothing but the first three and two buffers.
  EXPECT_EQ(seconds(4, 0, 2, 2), 3 + 2 + 24);
  EXPECT_EQ(seconds(0, 0.5, 3, 1), 9.5);  // all but the first are fetched ahead
  // Slower than any pass: each gather starts when the slot two before is free, which never holds the queue
  // up.
  EXPECT_EQ(seconds(0, 4, 3, 1), 6 * 4 + 2);
  // A long reduction of the last unit holds both buffers: the second pass of the middle unit waits for it, 29
  // s.
  EXPECT_EQ(scale::timeline_seconds({{1, 2, 20, 0}, {1, 2, 1, 0}, {1, 2, 1, 0}}, 2, 2), 29 + 2 + 2 + 20);
  // A long gather cannot start before the slot two before is free, 6 s.
  EXPECT_EQ(scale::timeline_seconds({{5, 5, 0, 1}, {5, 5, 0, 1}, {5, 5, 0, 8}}, 3, 1), 6 + 8 + 8 + 3 * 5);
}

TEST(Scale, SharesStayWithinTheMachine) {
  for (const Machine& machine : machines()) {
    for (const auto& [layers, width] : {std::pair(12, 768), {24, 2048}, {61, 4096}}) {
      for (const std::int64_t world : {1, 8, 4096}) {
        for (const int zero : {0, 2, 3}) {
          ScaleRun run = run_of(model(layers, width), world, 2);
          run.micro_sequences = 1;
          run.zero = zero;
          const ScaleEstimate e = estimate_scale(run, machine);
          EXPECT_GT(e.mfu, 0);
          EXPECT_LT(e.mfu, machine.matmul / machine.nominal);
          EXPECT_LT(e.of_matmul, 1);
          EXPECT_GE(e.traffic.exposed, 0);
          EXPECT_GE(e.traffic.hidden(), -1e-9);
        }
      }
    }
  }
}

// rwkv bench step, H200, commit edadcc6, T 4096: 199.3 ms, of which wkv7, replaced since, took 50.2
// (experiments/gpu/2026-11-27_h200). What is left is what the constants are to add up to; they are of single
// ops.
TEST(Scale, AgreesWithTheMeasuredStep) {
  ScaleRun run = run_of(model(12, 768), 1, 16);
  run.recompute = Recompute::None;
  run.micro_sequences = 16;
  const ScaleEstimate e = estimate_scale(run, find_machine("h200x8"));
  EXPECT_NEAR(e.step_seconds - e.compute.scan, 0.1993 - 0.0502, 0.1 * 0.149);
  EXPECT_NEAR(e.compute.optimizer, 0.00140 + 0.00037, 0.0002);
  // wkv7 at B 16, T 4096, H 12: 0.36 + 0.88 ms a layer.
  EXPECT_NEAR(e.compute.scan, 12 * 1.24e-3, 0.15 * 12 * 1.24e-3);
}

// README of RWKV-LM: 270k tokens/s. Ours has other kernels, so this is a band and no target.
TEST(Scale, Rwkv7Of7BOn32H100IsNearThePublishedRate) {
  ScaleRun run = run_of(model(32, 4096), 32, 6, 10240);
  run.zero = 2;
  run.wire = DType::BF16;
  const ScaleEstimate e = estimate_scale(run, h100());
  EXPECT_TRUE(e.fits);
  EXPECT_GT(e.tokens_per_second, 0.75 * 270e3);
  EXPECT_LT(e.tokens_per_second, 1.35 * 270e3);
}

TEST(Scale, RefusesInOneLine) {
  try {
    find_machine("b300x8");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::Config);
    EXPECT_STREQ(e.what(),
                 "--machine: \"b300x8\" is not known. Use one of h100x8, h200x8, a100x8, 4090x8, 4090x1.");
  }
  ScaleRun run = run_of(model(2, 64, 256), 12);
  EXPECT_EQ(why_not(run, h100()), "--world: 12 GPUs are no whole nodes of 8 (h100x8). Nearest: 8, 16.");
  run = run_of(model(2, 64, 256), 8);
  run.global_tokens += 4096;
  EXPECT_EQ(why_not(run, h100()),
            "batch.global_tokens: 266240 is not world(8) x seq_len(4096) x k. Nearest: 262144, 294912.");
  run = run_of(model(2, 64, 256), 8);
  run.world = 4104;
  EXPECT_NE(why_not(run, h100()).find("not from 1 to 4096"), std::string::npos);
  run.world = 8;
  run.micro_sequences = 3;
  EXPECT_NE(why_not(run, h100()).find("does not divide the 8 sequences"), std::string::npos);
  run.micro_sequences = {};
  run.compute = DType::F32;
  EXPECT_NE(why_not(run, h100()).find("precision.compute: bf16"), std::string::npos);
}

TEST(Scale, SaysWhatWouldFit) {
  ScaleRun run = run_of(model(32, 4096), 8, 4);
  run.recompute = Recompute::None;
  EXPECT_FALSE(estimate_scale(run, h100()).fits);
  const std::string hint = what_would_fit(run, h100());
  EXPECT_NE(hint.find("parallel.zero: "), std::string::npos) << hint;
  run.zero = hint[hint.find("parallel.zero: ") + 15] - '0';
  EXPECT_TRUE(estimate_scale(run, h100()).fits);
  EXPECT_EQ(what_would_fit(run_of(model(61, 16384), 1, 1), find_machine("4090x1")), "");
}

}  // namespace
}  // namespace rt
