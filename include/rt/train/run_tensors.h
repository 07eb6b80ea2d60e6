#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "rt/io/checkpoint.h"
#include "rt/optim/optimizer.h"
#include "rt/train/carried_state.h"

namespace rt {

constexpr const char* kWeightsFile = "model.safetensors";  // masters, under their official names
constexpr const char* kMomentsFile = "optimizer.safetensors";
constexpr const char* kStateFile = "recurrent.safetensors";  // where state is carried

struct RunFile {
  std::string name;
  std::vector<io::NamedTensor> all;  // names, shapes and types of what it is to hold
  std::vector<io::TensorPart> mine;  // what this process has of them
};

// The tensors of a run's checkpoint. What `mine` of the files shows is the run's own memory, which nobody may
// change until it is written, except for what is carried (null: nothing): that is read at once.
class RunTensors {
 public:
  RunTensors(const ParamStore& store, Optimizer& optimizer, const CarriedState* carried,
             const io::SaveCrew& crew = {});

  const std::vector<RunFile>& files() const { return files_; }
  // Of what a device holds, padded.
  std::size_t device_bytes() const;
  // Copies that to page-locked memory of as many bytes, and shows the copies from then on: the run may go on.
  void move_to(std::byte* memory);

 private:
  std::vector<RunFile> files_;
  std::vector<CarriedState::Field> carried_;
};

}  // namespace rt
