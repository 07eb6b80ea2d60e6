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

// Parameters of one learning-rate scale and decay: one contiguous range, one optimizer kernel.
struct ParamGroup {
  float lr_scale = 1.0f;
  float decay_scale = 0.0f;
  TensorView master, value, grad;  // (n), padding between parameters included and always zero
  std::int64_t begin = 0;          // offset of the range in the trainable part, in elements
};

class ParamScope;

// Owns every learned tensor of a model. Declare through a ParamScope, then allocate() lays all out flat:
// trainable parameters first, contiguous per group, then frozen ones, which have no gradient and no optimizer
// state.
class ParamStore {
 public:
  struct Types {
    DType master = DType::F32;   // also of gradients
    DType compute = DType::F32;  // when equal to master the memory is shared; else F32 and BF16
  };
  ParamStore(Device device, Types types) : device_(device), types_(types) {}
  ParamStore(const ParamStore&) = delete;
  ParamStore& operator=(const ParamStore&) = delete;

  ParamScope root();
  Parameter& add(std::string name, Shape shape, Init init, ParamOptions options);
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
  void sync_compute();  // compute copy from master, after masters were written from outside
  void clear_grads();   // forgets this step's gradients; the next write overwrites
  // Zeroes the gradients of trainable parameters that nothing reached.
  void finish_grads(const Stream& stream);

  Parameter* find(std::string_view name);
  const std::vector<Parameter*>& parameters() const { return order_; }  // in order of declaration
  std::span<const ParamGroup> groups() const { return groups_; }
  std::int64_t numel() const;  // learned numbers, without padding
  std::int64_t trainable_extent() const {
    return trainable_extent_;
  }                                               // with padding: length of the flat gradient
  TensorView flat_grad() const { return grad_; }  // (trainable_extent)
  Types types() const { return types_; }
  Device device() const { return device_; }
  std::size_t bytes() const;  // master, compute and gradient buffers

 private:
  Device device_;
  Types types_;
  std::deque<Parameter> storage_;
  std::vector<Init> inits_;
  std::vector<Parameter*> order_;
  std::vector<ParamGroup> groups_;
  std::int64_t trainable_extent_ = 0;
  std::vector<Buffer> buffers_;
  TensorView master_, value_, grad_;  // flat, padding included
};

// Where a part of the model declares its parameters: the store and a name prefix.
class ParamScope {
 public:
  ParamScope(ParamStore& store, std::string prefix) : store_(&store), prefix_(std::move(prefix)) {}
  ParamScope child(std::string_view name) const { return {*store_, prefix_ + std::string(name) + "."}; }
  Parameter& add(std::string_view name, Shape shape, Init init, ParamOptions options = {}) const {
    return store_->add(prefix_ + std::string(name), shape, std::move(init), options);
  }

 private:
  ParamStore* store_;
  std::string prefix_;
};

}  // namespace rt
