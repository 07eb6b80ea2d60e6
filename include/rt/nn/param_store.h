#pragma once
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/autograd/parameter.h"
#include "rt/core/arena.h"
#include "rt/core/buffer.h"
#include "rt/core/rng.h"
#include "rt/core/stream.h"

namespace rt {

// Writes all of a parameter's initial values, computed in f32. A pure function of the shape and the Rng it is
// given.
using Init = std::function<void(std::span<float> out, const Shape& shape, const Rng& rng)>;

struct ParamOptions {
  float lr_scale = 1.0f;
  bool decay = false;  // weight decay applies
};

// Which of several processes a store belongs to, and what they share out (ZeRO, Rajbhandari et al. 2020):
// from stage 1 on the optimizer's state, and the masters where they are not the compute copies; from 2 on
// gradients too; in 3 the compute copies too.
struct Sharding {
  int zero = 0;
  int rank = 0, world = 1;
  bool shares(int stage) const { return world > 1 && zero >= stage; }
};

// Parameters that are used together, e.g. a block's: what processes gather, reduce and share out at once. One
// range of the trainable part, whose length `world` divides; part r of it is rank r's.
struct ParamUnit {
  std::int64_t begin = 0, extent = 0;  // in the trainable part, in elements
  TensorView value, grad;              // (extent) all of it, where the kernels read and write
  // (extent / world), or (extent) where nothing is shared out: what this process holds for good. The same
  // memory as the part of `value` or `grad`, unless the stage shares these out.
  TensorView own_value, own_grad;
  int norm_slices = 1;  // of own_grad, for global_norm
  // Of what is shared out, `value` or `grad` is memory that units of one slot take turns in: the first and
  // the last have one each, those between every other one's.
  std::size_t slot = 0;
};

// What this process updates of the parameters of one learning-rate scale and decay in one unit: one
// contiguous range, one optimizer kernel.
struct ParamGroup {
  float lr_scale = 1.0f;
  float decay_scale = 0.0f;
  TensorView master, value, grad;  // (n), padding between parameters included and always zero
  std::int64_t begin = 0;          // offset of the range in the trainable part, in elements
  std::int64_t at = 0;             // and in the optimizer's state
};

// What this process updates of one parameter.
struct ParamPart {
  const Parameter* parameter = nullptr;
  std::int64_t begin = 0;  // its first element
  std::int64_t at = 0;     // the same in the optimizer's state
  TensorView master;       // (n)
};

class ParamScope;

// Owns every learned tensor of a model. Declare through a ParamScope, then allocate() lays all out flat:
// trainable parameters first, unit by unit, contiguous per group, then frozen ones, which have no gradient
// and no optimizer state.
class ParamStore {
 public:
  struct Types {
    DType master = DType::F32;   // also of gradients
    DType compute = DType::F32;  // when equal to master the memory is shared; else F32 and BF16
  };
  ParamStore(Device device, Types types, Sharding sharding = {})
      : device_(device), types_(types), sharding_(sharding) {}
  ParamStore(const ParamStore&) = delete;
  ParamStore& operator=(const ParamStore&) = delete;

  ParamScope root();
  Parameter& add(std::string name, Shape shape, Init init, ParamOptions options);
  void begin_unit() { ++unit_; }  // what is declared from here on is another unit
  // Overrides by name, before allocate(). Return how many parameters matched ('*' matches any run of
  // characters).
  int set_lr_scale(std::string_view pattern, float scale);
  int set_decay_scale(std::string_view pattern, float scale);
  int set_trainable(std::string_view pattern, bool trainable);

  // Measure: views have addresses that must not be touched, and bytes() tells what Live would take.
  void allocate(MemoryMode mode = MemoryMode::Live, bool gradients = true);
  // Every parameter from its own stream of `rng`, by name; rounded to bf16, as the official trainer stores
  // its initial checkpoint (reference rwkv.md 1.5).
  void initialize(const Rng& rng);
  void sync_compute();  // own compute copies from masters, after these were written from outside
  void clear_grads();   // forgets this step's gradients; the next write overwrites
  // Zeroes the gradients of trainable parameters that nothing reached.
  void finish_grads(const Stream& stream);

  Parameter* find(std::string_view name);
  const std::vector<Parameter*>& parameters() const { return order_; }  // in order of declaration
  std::span<const ParamUnit> units() const { return units_; }           // in order of declaration
  std::span<const ParamGroup> groups() const { return groups_; }
  std::span<const ParamPart> parts() const { return parts_; }  // by parameters() and, in one, by `begin`
  std::int64_t numel() const;                                  // learned numbers, without padding
  // With padding: length of the flat gradient, of which this process updates owned_extent().
  std::int64_t trainable_extent() const { return trainable_extent_; }
  std::int64_t owned_extent() const { return owned_extent_; }
  TensorView flat_grad() const { return grad_; }  // (trainable_extent), unless gradients are shared out
  Types types() const { return types_; }
  Device device() const { return device_; }
  const Sharding& sharding() const { return sharding_; }
  std::size_t bytes() const { return value_bytes_ + gradient_bytes_; }  // of all buffers
  std::size_t gradient_bytes() const { return gradient_bytes_; }

 private:
  struct Layout;
  TensorView flat(std::int64_t n, DType dtype, MemoryMode mode);
  void place_units(const Layout& layout, MemoryMode mode, bool gradients);
  void place_owned(const Layout& layout);

  Device device_;
  Types types_;
  Sharding sharding_;
  std::deque<Parameter> storage_;
  std::vector<Init> inits_;
  std::size_t unit_ = 0;
  std::vector<Parameter*> order_;
  std::vector<ParamUnit> units_;
  std::vector<ParamGroup> groups_;
  std::vector<ParamPart> parts_;
  std::int64_t trainable_extent_ = 0, owned_extent_ = 0;
  std::size_t value_bytes_ = 0, gradient_bytes_ = 0;
  std::vector<Buffer> buffers_;
  TensorView master_, grad_;  // (trainable_extent), unless shared out
  TensorView frozen_master_, frozen_value_;
  TensorView owned_master_, owned_value_;  // (owned_extent), where they are not parts of the units' values
};

// Where a part of the model declares its parameters: the store and a name prefix.
class ParamScope {
 public:
  ParamScope(ParamStore& store, std::string prefix) : store_(&store), prefix_(std::move(prefix)) {}
  ParamScope child(std::string_view name) const { return {*store_, prefix_ + std::string(name) + "."}; }
  Parameter& add(std::string_view name, Shape shape, Init init, ParamOptions options = {}) const {
    return store_->add(prefix_ + std::string(name), shape, std::move(init), options);
  }
  void begin_unit() const { store_->begin_unit(); }

 private:
  ParamStore* store_;
  std::string prefix_;
};

}  // namespace rt
