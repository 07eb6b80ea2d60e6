#include "rt/train/run_tensors.h"

#include <optional>

#include "rt/core/stream.h"

namespace rt {
namespace {

void expect(RunFile& file, const std::string& name, const Shape& shape, DType dtype) {
  TensorView view;
  view.shape = shape;
  view.dtype = dtype;
  file.all.push_back({name, view});
}

RunFile weights_of(const ParamStore& store, const io::SaveCrew& crew) {
  RunFile file{kWeightsFile, {}, {}};
  for (const Parameter* p : store.parameters()) {
    expect(file, p->name, p->master.shape, store.types().master);
    if (!p->trainable && crew.leads())
      file.mine.push_back({p->name, 0, p->master.reshape({p->master.numel()})});
  }
  // Where nothing is shared out, all have the same.
  if (!store.sharding().shares(1) && !crew.leads()) return file;
  for (const ParamPart& part : store.parts())
    file.mine.push_back({part.parameter->name, part.begin, part.master});
  return file;
}

RunFile moments_of(const ParamStore& store, Optimizer& optimizer, const io::SaveCrew& crew) {
  RunFile file{kMomentsFile, {}, {}};
  for (const auto& [name, parameter, dtype] : optimizer.state_tensors())
    expect(file, name, parameter->master.shape, dtype);
  if (!store.sharding().shares(1) && !crew.leads()) return file;
  optimizer.visit_state([&](const std::string& name, const ParamPart& part, const TensorView& values) {
    file.mine.push_back({name, part.begin, values});
  });
  return file;
}

bool on_a_device(const TensorView& view) { return view.device.kind != DeviceKind::Cpu; }

}  // namespace

RunTensors::RunTensors(const ParamStore& store, Optimizer& optimizer, const CarriedState* carried,
                       const io::SaveCrew& crew) {
  files_.push_back(weights_of(store, crew));
  files_.push_back(moments_of(store, optimizer, crew));
  if (!carried) return;
  carried_ = carried->read();
  RunFile file{kStateFile, {}, {}};
  for (const CarriedState::Field& field : carried_)
    expect(file, field.name, field.all, field.value.view.dtype);
  carried->visit_parts(carried_, [&](const std::string& name, std::int64_t begin, const TensorView& part) {
    file.mine.push_back({name, begin, part});
  });
  files_.push_back(std::move(file));
}

std::size_t RunTensors::device_bytes() const {
  std::size_t bytes = 0;
  for (const RunFile& file : files_) {
    for (const io::TensorPart& part : file.mine)
      if (on_a_device(part.values)) bytes += padded_bytes(part.values.nbytes());
  }
  return bytes;
}

void RunTensors::move_to(std::byte* memory) {
  std::optional<Stream> stream;
  for (RunFile& file : files_) {
    for (io::TensorPart& part : file.mine) {
      if (!on_a_device(part.values)) continue;
      if (!stream) stream.emplace(part.values.device);
      const TensorView copied(memory, part.values.shape, part.values.dtype);
      copy(copied, part.values, *stream);
      part.values = copied;
      memory += padded_bytes(copied.nbytes());
    }
  }
  if (stream) stream->synchronize();
}

}  // namespace rt
