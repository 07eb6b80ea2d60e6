#include "rt/nn/param_store.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "rt/core/device_api.h"
#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/core/parallel.h"

namespace rt {
namespace {

constexpr std::int64_t kAlignElements = 64;  // a cache line of bf16, and what vector kernels like
constexpr std::int64_t kGrain = 1 << 16;     // elements of a piece of work on all threads

std::int64_t padded(std::int64_t n) { return (n + kAlignElements - 1) / kAlignElements * kAlignElements; }

bool matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.front() == '*') {
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (matches(pattern.substr(1), text.substr(i))) return true;
    }
    return false;
  }
  return !text.empty() && text.front() == pattern.front() && matches(pattern.substr(1), text.substr(1));
}

template <class F>
int for_matching(const std::vector<Parameter*>& all, std::string_view pattern, F f) {
  int count = 0;
  for (Parameter* p : all) {
    if (!matches(pattern, p->name)) continue;
    f(*p);
    ++count;
  }
  return count;
}

TensorView part(const TensorView& flat, std::int64_t begin, const Shape& shape) {
  return flat.slice(0, begin, begin + shape.numel()).reshape(shape);
}

// to = from, f32 to bf16, both on the host.
void narrow(const TensorView& from, const TensorView& to) {
  const float* in = from.as<float>();
  bf16* out = to.as<bf16>();
  parallel_for(from.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = bf16(in[i]);
  });
}

}  // namespace

ParamScope ParamStore::root() { return {*this, ""}; }

Parameter& ParamStore::add(std::string name, Shape shape, Init init, ParamOptions options) {
  RT_CHECK(!find(name), "parameter {} declared twice", name);
  Parameter& p = storage_.emplace_back();
  p.name = std::move(name);
  p.master.shape = shape;
  p.lr_scale = options.lr_scale;
  p.decay_scale = options.decay ? 1.0f : 0.0f;
  inits_.push_back(std::move(init));
  order_.push_back(&p);
  return p;
}

int ParamStore::set_lr_scale(std::string_view pattern, float scale) {
  return for_matching(order_, pattern, [&](Parameter& p) { p.lr_scale = scale; });
}
int ParamStore::set_decay_scale(std::string_view pattern, float scale) {
  return for_matching(order_, pattern, [&](Parameter& p) { p.decay_scale = scale; });
}
int ParamStore::set_trainable(std::string_view pattern, bool trainable) {
  return for_matching(order_, pattern, [&](Parameter& p) { p.trainable = trainable; });
}

void ParamStore::allocate(MemoryMode mode, bool gradients) {
  RT_CHECK(!master_, "ParamStore: allocated twice");
  // Key: frozen parameters last, then by scale, so that the layout does not depend on the order of
  // declaration alone.
  const auto key = [](const Parameter& p) { return std::tuple(!p.trainable, -p.decay_scale, p.lr_scale); };
  std::vector<Parameter*> layout = order_;
  std::stable_sort(layout.begin(), layout.end(), [&](auto* a, auto* b) { return key(*a) < key(*b); });
  std::map<const Parameter*, std::int64_t> offsets;
  std::int64_t total = 0;
  for (const Parameter* p : layout) {
    offsets[p] = total;
    total += padded(p->master.shape.numel());
    if (p->trainable) trainable_extent_ = total;
  }
  const auto flat = [&](std::int64_t n, DType dtype) {
    if (mode == MemoryMode::Measure) return untouchable({n}, dtype, device_);
    Buffer& buffer = buffers_.emplace_back(device_, static_cast<std::size_t>(n) * size_of(dtype));
    buffer.fill(0);  // padding stays zero for good
    return TensorView(buffer.data(), {n}, dtype, device_);
  };
  master_ = flat(total, types_.master);
  value_ = types_.compute != types_.master ? flat(total, types_.compute) : master_;
  if (gradients) grad_ = flat(trainable_extent_, types_.master);
  for (Parameter* p : layout) {
    const Shape shape = p->master.shape;
    const std::int64_t at = offsets[p];
    p->master = part(master_, at, shape);
    p->value = part(value_, at, shape);
    if (p->trainable && gradients) p->grad = part(grad_, at, shape);
    if (!p->trainable) continue;
    const std::int64_t end = at + padded(shape.numel());
    if (groups_.empty() || groups_.back().lr_scale != p->lr_scale ||
        groups_.back().decay_scale != p->decay_scale) {
      groups_.push_back({p->lr_scale, p->decay_scale, {}, {}, {}, at});
    }
    ParamGroup& group = groups_.back();
    group.master = master_.slice(0, group.begin, end);
    group.value = value_.slice(0, group.begin, end);
    if (gradients) group.grad = grad_.slice(0, group.begin, end);
  }
}

void ParamStore::initialize(const Rng& rng) {
  std::vector<float> drawn;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const Parameter& p = *order_[i];
    const HostTensor host(p.master, HostTensor::Contents::Undefined);
    const auto n = static_cast<std::size_t>(p.master.numel());
    const bool in_place = p.master.dtype == DType::F32;
    if (!in_place) drawn.resize(std::max(n, drawn.size()));
    const std::span values(in_place ? host.view().as<float>() : drawn.data(), n);
    inits_[i](values, p.master.shape, rng.child(p.name.c_str()));
    parallel_for(p.master.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        float& value = values[static_cast<std::size_t>(k)];
        value = static_cast<float>(bf16(value));
        if (!in_place) set_element(host.view(), k, static_cast<double>(value));
      }
    });
    host.write_back();
    if (types_.compute == types_.master) continue;
    const HostTensor compute(p.value, HostTensor::Contents::Undefined);
    narrow(host.view(), compute.view());
    compute.write_back();
  }
}

void ParamStore::sync_compute() {
  if (types_.compute == types_.master) return;
  const HostTensor from(master_), to(value_, HostTensor::Contents::Undefined);
  narrow(from.view(), to.view());
  to.write_back();
}

void ParamStore::clear_grads() {
  for (Parameter* p : order_) p->has_grad = false;
}

void ParamStore::finish_grads(const Stream& stream) {
  for (Parameter* p : order_) {
    if (!p->trainable || p->has_grad) continue;
    device_api(device_.kind).fill(p->grad.data, 0, p->grad.nbytes(), stream.native());
    p->has_grad = true;
  }
}

Parameter* ParamStore::find(std::string_view name) {
  for (Parameter* p : order_) {
    if (p->name == name) return p;
  }
  return nullptr;
}

std::int64_t ParamStore::numel() const {
  std::int64_t n = 0;
  for (const Parameter* p : order_) n += p->master.shape.numel();
  return n;
}

std::size_t ParamStore::bytes() const {
  return master_.nbytes() + (types_.compute != types_.master ? value_.nbytes() : 0) +
         (grad_ ? grad_.nbytes() : 0);
}

}  // namespace rt
