#include "rt/nn/mixers/rwkv7.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rt/core/error.h"
#include "tests/support/model_suite.h"

namespace {

rt::ModelSpec tiny() {
  rt::ModelSpec s;
  s.layers = 3;
  s.width = 32;
  s.head_size = 16;
  s.vocab = 37;
  s.ffn_width = 64;
  s.decay_rank = s.rate_rank = s.value_rank = s.gate_rank = 8;
  return s;
}

RT_MODEL_SUITE(Rwkv7, tiny(), 21);

// Parameter counts of reference/rwkv.md 1.0 and 1.7 (block 0's unused v0, v1, v2 included, as the trainer
// saves them).
TEST(Rwkv7, ParameterCountsMatchThePublished) {
  rt::ModelSpec s;
  s.layers = 12;
  s.width = 768;
  s.vocab = 65536;
  rt::ParamStore store(rt::Device::cpu(), {rt::DType::F32, rt::DType::F32});
  const rt::LanguageModel model(s.resolve(), store.root());
  store.allocate(rt::MemoryMode::Measure);
  EXPECT_EQ(store.numel(), 191084544);
}

TEST(Rwkv7, LowRankRule) {
  rt::ModelSpec s;
  s.vocab = 1;
  s.width = 2048;
  s = s.resolve();
  EXPECT_EQ(s.decay_rank, 128);
  EXPECT_EQ(s.value_rank, 64);
  EXPECT_EQ(s.gate_rank, 224);
  s = {};
  s.vocab = 1;
  s.width = 6144;
  s = s.resolve();
  EXPECT_EQ(s.rate_rank, 192);
  EXPECT_EQ(s.gate_rank, 384);
}

TEST(Rwkv7, InitIsTheOfficialOne) {
  const rt::ModelSpec s = [] {
    rt::ModelSpec spec = tiny();
    spec.width = 64;
    spec.vocab = 256;
    return spec.resolve();
  }();
  rt::ParamStore store(rt::Device::cpu(), {rt::DType::F32, rt::DType::F32});
  const rt::LanguageModel model(s, store.root());
  store.allocate();
  store.initialize(rt::Rng{42, 0});
  const auto at = [&](const char* name, std::int64_t i) { return rt::element(store.find(name)->master, i); };
  const double C = 64, L = 3;
  // Values are rounded to bf16: 8 bits of mantissa.
  const auto near = [](double got, double want) { EXPECT_NEAR(got, want, 1e-6 + std::abs(want) / 256); };
  near(at("blocks.1.att.x_r", 5), 1 - std::pow(5 / C, 0.2 * (1 - 1 / L)));
  near(at("blocks.2.att.x_w", 5), 1 - std::pow(5 / C, 0.9 * (1 - 2 / L)));
  near(at("blocks.1.ffn.x_k", 5), 1 - std::pow(5 / C, std::pow(1 - 1 / L, 4)));
  const double z = (5.0 - 7.5) / 7.5, zz = z * std::abs(z);
  near(at("blocks.1.att.w0", 5), -6 + 6 * std::pow(5 / 63.0, 1 + std::pow(0.5, 0.3)) + 0.5 + 2.5 * zz);
  near(at("blocks.1.att.a0", 5), -0.19 + 0.3 * zz + 0.4 * (5 / 63.0 - 0.5));
  near(at("blocks.1.att.v0", 5), 0.73 - 0.4 * (5 / 63.0 - 0.5));
  near(at("blocks.1.att.k_k", 5), 0.71 - 0.1 * (5 / 63.0 - 0.5));
  near(at("blocks.1.att.k_a", 5), 1.02);
  near(at("blocks.1.att.r_k", 5), -0.04);
  near(at("blocks.1.att.ln_x.weight", 5), std::pow(2 / L, 0.7));
  EXPECT_EQ(at("blocks.1.att.output.weight", 7), 0);
  EXPECT_EQ(at("blocks.1.ffn.value.weight", 7), 0);
  EXPECT_EQ(at("blocks.1.att.w1", 7), 0);
  // Orthogonality: head (V, C) has orthonormal columns times 0.5 sqrt(V/C); att.key is 0.1 times orthogonal.
  const auto gram = [&](const char* name, std::int64_t rows, std::int64_t cols, std::int64_t a,
                        std::int64_t b) {
    double dot = 0;
    for (std::int64_t r = 0; r < rows; ++r) dot += at(name, r * cols + a) * at(name, r * cols + b);
    return dot;
  };
  EXPECT_NEAR(gram("head.weight", 256, 64, 3, 3), 0.25 * 256 / 64, 5e-3);
  EXPECT_NEAR(gram("head.weight", 256, 64, 3, 9), 0, 5e-3);
  EXPECT_NEAR(gram("blocks.0.att.key.weight", 64, 64, 3, 3), 0.01, 1e-4);
  EXPECT_NEAR(gram("blocks.0.att.key.weight", 64, 64, 3, 4), 0, 1e-4);
  double bound = 0;
  for (std::int64_t i = 0; i < 256 * 64; ++i) bound = std::max(bound, std::abs(at("emb.weight", i)));
  EXPECT_LE(bound, 1.01e-4);
  EXPECT_GE(bound, 0.9e-4);
}

TEST(Rwkv7, OptimizerGroups) {
  rt::ParamStore store(rt::Device::cpu(), {rt::DType::F32, rt::DType::F32});
  const rt::LanguageModel model(tiny().resolve(), store.root());
  for (const rt::Parameter* p : store.parameters()) {
    const bool matrix = p->name.ends_with(".weight") && p->master.shape.rank() == 2;
    EXPECT_EQ(p->decay_scale, matrix ? 1.0f : 0.0f) << p->name;
    EXPECT_EQ(p->lr_scale, p->name.ends_with("att.w0") ? 2.0f : 1.0f) << p->name;
  }
}

TEST(ModelSpec, RefusesImpossibleShapes) {
  const auto message = [](auto change) {
    rt::ModelSpec s = tiny();
    change(s);
    try {
      (void)s.resolve();
    } catch (const rt::Error& e) {
      EXPECT_EQ(e.code(), rt::Exit::Config);
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message([](auto& s) { s.width = 40; }),
            "model.width: 40 is not a multiple of head_size=16. Nearest: 32, 48.");
  EXPECT_NE(message([](auto& s) { s.layers = 1; }).find("at least 2"), std::string::npos);
  EXPECT_NE(message([](auto& s) { s.head_size = 24; }).find("multiple of 16"), std::string::npos);
  EXPECT_NE(message([](auto& s) { s.arch = "rwkv9"; }).find("rwkv9"), std::string::npos);
}

}  // namespace
