#include <cmath>
#include <limits>

#include "rt/core/error.h"
#include "train/verify_report.h"

namespace rt::verification {
namespace {

constexpr double kAny = std::numeric_limits<double>::infinity();

constexpr Limits rms(double limit) { return {limit, kAny, kAny}; }
constexpr Limits absolute(double limit) { return {kAny, limit, kAny}; }
constexpr Limits relative(double limit) { return {kAny, kAny, limit}; }  // each element

struct Row {
  Quantity quantity;
  Limits ref, f32, bf16;
};

// ref: the golden numbers are f64 results stored in f32. f32: the same arithmetic in single precision, with
// room for another order of summation. bf16: from the format's 8 bits.
constexpr Row kTable[] = {
    {Quantity::OpOutput, rms(1e-6), rms(1e-5), rms(1e-2)},
    {Quantity::OpGradient, rms(1e-6), rms(5e-5), rms(2e-2)},
    {Quantity::StrongOutput, rms(1e-6), rms(2e-5), rms(1e-2)},
    {Quantity::StrongGradient, rms(1e-6), rms(1e-4), rms(2e-2)},
    {Quantity::Logits, {1e-6, 1e-6, kAny}, {1e-4, 1e-4, kAny}, absolute(0.1)},
    {Quantity::Loss, absolute(1e-6), absolute(2e-5), absolute(1e-2)},
    {Quantity::GradNorm, relative(1e-6), relative(5e-5), relative(3e-2)},
    {Quantity::LogitsGradient, rms(1e-6), rms(5e-5), rms(5e-2)},
    // bf16: rounding errors of 2^-9 in the weights alone move grad.blocks.0.att.x_k of rwkv7_bf16 by 2e-2 to
    // 5e-2 in exact arithmetic.
    {Quantity::ParameterGradient, rms(1e-6), rms(5e-5), rms(8e-2)},
    {Quantity::State, rms(1e-6), rms(2e-5), rms(1e-2)},
    {Quantity::Margin, absolute(1e-6), absolute(2e-4), absolute(0.2)},
    // f32: a run that leaves out L2Wrap is off by no more than 6e-5 and 1.7e-4.
    {Quantity::TrainingLoss, absolute(1e-6), absolute(1e-5), absolute(2e-2)},
    {Quantity::TrainingGradNorm, relative(1e-6), relative(5e-5), relative(3e-2)},
    // ref: a value near 4 that moved by 1e-2 is stored to 2e-7, 2e-5 of its way.
    {Quantity::Final, rms(2e-5), rms(1e-3), rms(0.3)},
    {Quantity::Exact, absolute(0), absolute(0), absolute(0)},
};

}  // namespace

Limits limits(Quantity quantity, const VerifyOptions& options) {
  for (const Row& row : kTable) {
    if (row.quantity != quantity) continue;
    if (options.impl == Impl::Ref) return row.ref;
    return options.compute == DType::BF16 ? row.bf16 : row.f32;
  }
  RT_CHECK(false, "verify: no tolerance for quantity {}", static_cast<int>(quantity));
  return rms(0);
}

std::string Limits::to_string() const {
  std::string text;
  const auto part = [&](const char* what, double limit) {
    if (std::isinf(limit)) return;
    text += format("{}{} {}", text.empty() ? "" : ", ", what, limit);
  };
  part("rms", rms);
  part("abs", max_abs);
  part("rel", max_relative);
  return text;
}

}  // namespace rt::verification
