#include <algorithm>
#include <map>
#include <tuple>

#include "rt/nn/param_store.h"
#include "rt/ops/global_norm.h"

namespace rt {
namespace {

constexpr std::int64_t kAlignElements = 64;  // a cache line of bf16, and what vector kernels like
constexpr std::int64_t kSliceElements = 32;  // a slice is a multiple of these

// Of a unit of n elements, for norms: the same for all worlds of 1, 2, 4 and 8, or so many as a large unit
// has slices; else a multiple of the number of processes.
int slices_of(std::int64_t n, int world) {
  constexpr std::int64_t kWorthwhile = 2048;
  int slices = 8;
  while (2 * slices <= kMostNormSlices && n / (2 * slices) >= kWorthwhile) slices *= 2;
  return std::max(1, slices / world) * world;
}

std::int64_t rounded_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

TensorView part(const TensorView& flat, std::int64_t begin, const Shape& shape) {
  return flat.slice(0, begin, begin + shape.numel()).reshape(shape);
}

}  // namespace

// Where everything is, in elements.
struct ParamStore::Layout {
  struct Place {
    Parameter* parameter;
    std::int64_t at;  // in its unit, or among the frozen ones
  };
  std::vector<std::vector<Place>> units;  // trainable parameters
  std::vector<std::int64_t> extents;      // of units
  std::vector<Place> frozen;
  std::int64_t frozen_extent = 0;
  std::vector<int> slices;  // of units, for norms
  int sharers = 1;          // processes that own a part of a unit each

  Layout(const std::vector<Parameter*>& order, std::size_t count, const Sharding& sharding) {
    sharers = sharding.shares(1) ? sharding.world : 1;
    std::vector<std::vector<Parameter*>> by_unit(count);
    for (Parameter* p : order) {
      if (p->trainable) {
        by_unit[p->unit].push_back(p);
      } else {
        frozen.push_back({p, frozen_extent});
        frozen_extent += rounded_up(p->master.shape.numel(), kAlignElements);
      }
    }
    for (std::vector<Parameter*>& members : by_unit) {
      const auto key = [](const Parameter& p) { return std::tuple(-p.decay_scale, p.lr_scale); };
      std::stable_sort(members.begin(), members.end(), [&](auto* a, auto* b) { return key(*a) < key(*b); });
      std::int64_t n = 0;
      std::vector<Place>& places = units.emplace_back();
      for (Parameter* p : members) {
        places.push_back({p, n});
        n += rounded_up(p->master.shape.numel(), kAlignElements);
      }
      slices.push_back(slices_of(n, sharding.world));
      extents.push_back(rounded_up(n, slices.back() * kSliceElements));
    }
  }

  // Memory that units take turns in: the first and the last have their own, those between every other one's.
  std::vector<std::int64_t> slot_extents() const {
    std::vector<std::int64_t> slots(4, 0);
    for (std::size_t u = 0; u < extents.size(); ++u)
      slots[slot_of(u)] = std::max(slots[slot_of(u)], extents[u]);
    return slots;
  }
  std::size_t slot_of(std::size_t u) const {
    if (u == 0) return 0;
    return u + 1 == extents.size() ? 1 : 2 + u % 2;
  }
};

void ParamStore::allocate(MemoryMode mode, bool gradients) {
  RT_CHECK(units_.empty(), "ParamStore: allocated twice");
  const Layout layout(order_, unit_ + 1, sharding_);
  for (const std::int64_t extent : layout.extents) {
    ParamUnit& unit = units_.emplace_back();
    unit.begin = trainable_extent_;
    unit.extent = extent;
    unit.slot = layout.slot_of(units_.size() - 1);
    unit.norm_slices = layout.slices[units_.size() - 1] / layout.sharers;
    if (unit.norm_slices > kMostNormSlices) unit.norm_slices = 1;
    trainable_extent_ += extent;
  }
  owned_extent_ = trainable_extent_ / layout.sharers;
  place_units(layout, mode, gradients);
  place_owned(layout);
}

TensorView ParamStore::flat(std::int64_t n, DType dtype, MemoryMode mode) {
  if (mode == MemoryMode::Measure) return untouchable({n}, dtype, device_);
  Buffer& buffer = buffers_.emplace_back(device_, static_cast<std::size_t>(n) * size_of(dtype));
  buffer.fill(0);  // padding stays zero for good
  return {buffer.data(), {n}, dtype, device_};
}

void ParamStore::place_units(const Layout& layout, MemoryMode mode, bool gradients) {
  const bool same = types_.compute == types_.master;
  const auto counted = [&](std::size_t& total, std::int64_t n, DType dtype) {
    if (n == 0) return TensorView();
    const TensorView view = flat(n, dtype, mode);
    total += view.nbytes();
    return view;
  };
  // One view per unit: parts of one flat buffer, or of slots that they take turns in.
  const auto place = [&](bool slots, std::size_t& total, DType dtype, TensorView* whole) {
    std::vector<TensorView> views, memory;
    if (slots) {
      for (const std::int64_t n : layout.slot_extents()) memory.push_back(counted(total, n, dtype));
    } else {
      *whole = counted(total, trainable_extent_, dtype);
    }
    for (std::size_t u = 0; u < units_.size(); ++u) {
      const ParamUnit& unit = units_[u];
      if (unit.extent == 0) {
        views.emplace_back(nullptr, Shape{0}, dtype, device_);
        continue;
      }
      views.push_back(slots ? memory[layout.slot_of(u)].slice(0, 0, unit.extent)
                            : whole->slice(0, unit.begin, unit.begin + unit.extent));
    }
    return views;
  };
  const bool share_master = sharding_.shares(3) || (sharding_.shares(1) && !same);
  TensorView values, owned_grad;
  const auto value_views = place(sharding_.shares(3), value_bytes_, types_.compute, &values);
  if (share_master) {
    owned_master_ = counted(value_bytes_, owned_extent_, types_.master);
    owned_value_ = same ? owned_master_ : TensorView();
    if (sharding_.shares(3) && !same) owned_value_ = counted(value_bytes_, owned_extent_, types_.compute);
  } else {
    master_ = same ? values : counted(value_bytes_, trainable_extent_, types_.master);
  }
  std::vector<TensorView> grad_views(units_.size());
  if (gradients) {
    grad_views = place(sharding_.shares(2), gradient_bytes_, types_.master, &grad_);
    if (sharding_.shares(2)) owned_grad = counted(gradient_bytes_, owned_extent_, types_.master);
  }
  frozen_master_ = counted(value_bytes_, layout.frozen_extent, types_.master);
  frozen_value_ = same ? frozen_master_ : counted(value_bytes_, layout.frozen_extent, types_.compute);

  std::int64_t at = 0;  // in what this process owns
  for (std::size_t u = 0; u < units_.size(); ++u) {
    ParamUnit& unit = units_[u];
    const std::int64_t each = unit.extent / layout.sharers, first = sharding_.rank % layout.sharers * each;
    const auto own = [&](const TensorView& shared_out, const TensorView& whole) {
      if (shared_out) return shared_out.slice(0, at, at + each);
      return whole ? whole.slice(0, first, first + each) : TensorView();
    };
    unit.value = value_views[u];
    unit.grad = grad_views[u];
    unit.own_value = own(sharding_.shares(3) ? owned_value_ : TensorView(), unit.value);
    unit.own_grad = own(owned_grad, unit.grad);
    at += each;
    for (const Layout::Place& p : layout.units[u]) {
      const Shape shape = p.parameter->master.shape;
      p.parameter->value = part(unit.value, p.at, shape);
      if (gradients) p.parameter->grad = part(unit.grad, p.at, shape);
      if (master_) p.parameter->master = part(master_, unit.begin + p.at, shape);
    }
  }
  for (const Layout::Place& p : layout.frozen) {
    const Shape shape = p.parameter->master.shape;
    p.parameter->master = part(frozen_master_, p.at, shape);
    p.parameter->value = part(frozen_value_, p.at, shape);
  }
}

// What the optimizer updates and what a checkpoint stores.
void ParamStore::place_owned(const Layout& layout) {
  std::map<const Parameter*, ParamPart> parts;
  std::int64_t at = 0;  // of the unit in what this process owns
  for (std::size_t u = 0; u < units_.size(); ++u) {
    const ParamUnit& unit = units_[u];
    const std::int64_t each = unit.extent / layout.sharers, first = sharding_.rank % layout.sharers * each;
    // Masters of elements of the unit.
    const auto masters = [&](std::int64_t from, std::int64_t to) {
      if (owned_master_) return owned_master_.slice(0, at + from - first, at + to - first);
      return master_.slice(0, unit.begin + from, unit.begin + to);
    };
    std::int64_t group_begin = 0;  // in the unit
    ParamGroup* group = nullptr;
    const std::vector<Layout::Place>& places = layout.units[u];
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto& [p, place] = places[i];
      const std::int64_t next = i + 1 < places.size() ? places[i + 1].at : unit.extent;
      const std::int64_t begin = std::max(place, first), end = std::min(next, first + each);
      if (begin >= end) continue;
      const std::int64_t last = std::min(end, place + p->master.shape.numel());  // without padding
      if (begin < last) parts[p] = {p, begin - place, at + begin - first, masters(begin, last)};
      if (!group || group->lr_scale != p->lr_scale || group->decay_scale != p->decay_scale) {
        group_begin = begin;
        group = &groups_.emplace_back();
        group->lr_scale = p->lr_scale;
        group->decay_scale = p->decay_scale;
        group->begin = unit.begin + begin;
        group->at = at + begin - first;
      }
      group->master = masters(group_begin, end);
      group->value = unit.own_value.slice(0, group_begin - first, end - first);
      if (unit.own_grad) group->grad = unit.own_grad.slice(0, group_begin - first, end - first);
    }
    at += each;
  }
  for (const Parameter* p : order_) {
    const auto found = parts.find(p);
    if (found != parts.end()) parts_.push_back(found->second);
  }
}

}  // namespace rt
