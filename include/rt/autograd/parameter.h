#pragma once
#include <string>

#include "rt/core/tensor.h"

namespace rt {

// What a backward kernel does with one input's gradient: nothing, write it, or add to it.
enum class GradMode : std::uint8_t { Skip, Overwrite, Accumulate };

struct GradSlot {
  TensorView view;
  GradMode mode = GradMode::Skip;
  explicit operator bool() const { return mode != GradMode::Skip; }
};

// One learned tensor. Views into the ParamStore's flat buffers.
struct Parameter {
  std::string name;   // the official checkpoint's name
  TensorView value;   // compute dtype; the same memory as master when the dtypes agree
  TensorView master;  // f32 (f64 for Impl::Ref)
  TensorView grad;    // dtype of master; empty when frozen
  bool trainable = true;
  bool has_grad = false;  // grad holds something this step; cleared by ParamStore::clear_grads
  float lr_scale = 1.0f;
  float decay_scale = 0.0f;  // 1: weight decay applies
  std::size_t unit = 0;      // of its store: what is used together
};

}  // namespace rt
