#include "rt/nn/param_store.h"

#include <algorithm>
#include <optional>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/core/parallel.h"

namespace rt {
namespace {

constexpr std::int64_t kGrain = 1 << 16;  // elements of a piece of work on all threads

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
  p.unit = unit_;
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

void ParamStore::initialize(const Rng& rng) {
  std::vector<float> drawn;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const Parameter& p = *order_[i];
    const std::int64_t n = p.master.shape.numel();
    std::optional<HostTensor> host;
    if (p.master) host.emplace(p.master, HostTensor::Contents::Undefined);
    const bool in_place = host && p.master.dtype == DType::F32;
    if (!in_place) drawn.resize(std::max(static_cast<std::size_t>(n), drawn.size()));
    const std::span values(in_place ? host->view().as<float>() : drawn.data(), static_cast<std::size_t>(n));
    inits_[i](values, p.master.shape, rng.child(p.name.c_str()));
    parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        float& value = values[static_cast<std::size_t>(k)];
        value = static_cast<float>(bf16(value));
        if (host && !in_place) set_element(host->view(), k, static_cast<double>(value));
      }
    });
    if (host) host->write_back();
    if (types_.compute != types_.master && !sharding_.shares(3)) {
      const HostTensor compute(p.value, HostTensor::Contents::Undefined);
      narrow(TensorView(values.data(), p.master.shape, DType::F32), compute.view());
      compute.write_back();
    }
    if (host) continue;
    for (const ParamPart& part : parts_) {  // masters are shared out
      if (part.parameter != &p) continue;
      const HostTensor own(part.master, HostTensor::Contents::Undefined);
      std::copy_n(values.data() + part.begin, part.master.numel(), own.view().as<float>());
      own.write_back();
    }
  }
  if (sharding_.shares(3)) sync_compute();
}

void ParamStore::sync_compute() {
  if (types_.compute == types_.master) return;
  const auto update = [](const TensorView& master, const TensorView& value) {
    const HostTensor from(master), to(value, HostTensor::Contents::Undefined);
    narrow(from.view(), to.view());
    to.write_back();
  };
  for (const ParamGroup& group : groups_) update(group.master, group.value);
  if (frozen_master_) update(frozen_master_, frozen_value_);
}

void ParamStore::clear_grads() {
  for (Parameter* p : order_) p->has_grad = false;
}

void ParamStore::finish_grads(const Stream& stream) {
  for (Parameter* p : order_) {
    if (!p->trainable || p->has_grad) continue;
    clear(p->grad, stream);
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

}  // namespace rt
