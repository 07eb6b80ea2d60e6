#pragma once
#include "rt/autograd/parameter.h"

namespace rt::ref {

// Gradient of one input in the reference: zeroes an Overwrite slot at construction, then every +=
// accumulates. A skipped slot swallows what is added.
class GradRef {
 public:
  explicit GradRef(const GradSlot& slot) : data_(slot ? slot.view.as<double>() : nullptr) {
    if (slot.mode == GradMode::Overwrite) {
      for (std::int64_t i = 0; i < slot.view.numel(); ++i) data_[i] = 0;
    }
  }
  explicit operator bool() const { return data_ != nullptr; }
  void add(std::int64_t i, double value) const {
    if (data_) data_[i] += value;
  }

 private:
  double* data_;
};

}  // namespace rt::ref
