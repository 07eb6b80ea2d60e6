// What our kernels take, as measured on an H200 (experiments/gpu/2026-11-27_h200, bf16, 791 TFLOP/s, copies
// of 4.17 TB/s). kernels.json, commit edadcc6, has B 8, T 4096, C 768, F 3072, V 65536: 32768 tokens. A time
// t there is t x 4.17e12 / (32768 x 768) bytes per token and channel.
#include "train/scale_costs.h"

namespace rt::scale {
namespace {

// A product's memory traffic is half hidden behind its arithmetic: `linear` 768 x 768 takes 62.3 us forward
// and 118.8 backward, of which flops at 791 TFLOP/s are 48.9 and 97.7, and bytes at the copy rate 24.1
// and 48.3. So 0.56 and 0.44 of the bytes show.
constexpr double kProductBytes = 0.5;

// Bytes per token and channel, forward and backward.
struct Stream {
  double forward, backward;
};
constexpr Stream kLayerNorm{6.1, 12.8};
constexpr Stream kAdd{6.6, 6.6};
constexpr Stream kShiftSix{17.1, 45.9};                  // token_shift into six mixes
constexpr Stream kShiftOne{17.1 * 2 / 7, 45.9 * 3 / 8};  // into one: by tensors moved
constexpr Stream kValueResidual{8.4, 14.1};
constexpr Stream kKeyPrepare{11.6, 19.4};
constexpr Stream kBonusGate{14.5, 27.8};            // group_norm_bonus_gate
constexpr Stream kLowRank{13.1 - 1.3, 25.9 - 2.7};  // low_rank_64 without its flops
constexpr Stream kEmbedding{4.8, 24.9};
// channel_mix (512 and 957 us) less its products by the formula above (451 and 903): per token and inner
// channel.
constexpr Stream kReluSq{2.5, 2.3};
// linear_cross_entropy (22.5 ms) less its products (14.1): per logit.
constexpr double kLogit = 16.3;
// wkv7, B 8, T 4096, H 64, commit d0b95a0: 0.72 and 2.12 ms, per token and channel of heads of 64.
constexpr Stream kScan{22.4, 65.9};

// adamw runs at 0.986 of the copy rate: 14 bytes of master, gradient and compute copy, and each moment read
// and written. global_norm takes 4.6 bytes' time for the 4 it reads.
constexpr double kAdamwShare = 0.986, kUpdateBytes = 14, kNormBytes = 4.6;

struct Sizes {
  double M, C, F;
  const Machine& machine;

  // (M, in) x (in, out): reads and writes activations and weights once. Backward is two of these, whose
  // weight gradient is f32 and added to.
  void product(UnitCost& unit, double in, double out) const {
    const double flops = 2 * M * in * out, rows = 2 * M * (in + out);
    const auto seconds = [&](double f, double bytes) {
      return f / machine.matmul + kProductBytes * bytes / machine.copy;
    };
    unit.forward.products += seconds(flops, rows + 2 * in * out);
    unit.backward.products += seconds(2 * flops, 2 * rows + (2 + 8) * in * out);
  }
  void stream(UnitCost& unit, Stream s, double channels, double times = 1) const {
    unit.forward.streaming += times * s.forward * M * channels / machine.copy;
    unit.backward.streaming += times * s.backward * M * channels / machine.copy;
  }
};

UnitCost block(const ModelSpec& spec, const Sizes& at) {
  UnitCost unit;
  for (int i = 0; i < 4; ++i) at.product(unit, at.C, at.C);  // receptance, key, value, output
  at.product(unit, at.C, at.F);
  at.product(unit, at.F, at.C);
  at.stream(unit, kLayerNorm, at.C, 2);
  at.stream(unit, kAdd, at.C, 2);
  at.stream(unit, kShiftSix, at.C);
  at.stream(unit, kShiftOne, at.C);
  at.stream(unit, kValueResidual, at.C);
  at.stream(unit, kKeyPrepare, at.C);
  at.stream(unit, kBonusGate, at.C);
  at.stream(unit, kReluSq, at.F);
  at.stream(unit, kLowRank, at.C, 4);
  const auto ranks = static_cast<double>(spec.decay_rank + spec.rate_rank + spec.value_rank + spec.gate_rank);
  const double low_rank = 4 * at.M * at.C * ranks / at.machine.matmul;
  unit.forward.products += low_rank;
  unit.backward.products += 2 * low_rank;
  // The state has N x N numbers a head: at other head sizes the work per channel grows with N.
  const double scan = at.M * at.C * static_cast<double>(spec.head_size) / 64 / at.machine.copy;
  unit.forward.scan = kScan.forward * scan;
  unit.backward.scan = kScan.backward * scan;
  return unit;
}

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  products += other.products;
  scan += other.scan;
  streaming += other.streaming;
  return *this;
}

std::vector<UnitCost> unit_costs(const ModelSpec& spec, std::int64_t tokens, const Machine& machine) {
  const Sizes at{double(tokens), double(spec.width), double(spec.ffn_width), machine};
  const auto vocab = static_cast<double>(spec.vocab);
  UnitCost embedding, head;
  at.stream(embedding, kEmbedding, at.C);
  at.stream(embedding, kLayerNorm, at.C);
  at.product(head, at.C, vocab);
  head.forward += head.backward;
  head.backward = {};
  head.forward.streaming += kLogit * at.M * vocab / machine.copy;
  at.stream(head, kLayerNorm, at.C);

  std::vector<UnitCost> units{embedding};
  units.insert(units.end(), static_cast<std::size_t>(spec.layers), block(spec, at));
  units.push_back(head);
  return units;
}

double optimizer_seconds(double elements, std::size_t moment_bytes, const Machine& machine) {
  const double adamw = (kUpdateBytes + 4.0 * static_cast<double>(moment_bytes)) / kAdamwShare;
  return elements * (adamw + kNormBytes) / machine.copy;
}

}  // namespace rt::scale
