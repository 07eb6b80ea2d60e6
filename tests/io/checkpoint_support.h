#pragma once
#include <numeric>

#include "rt/io/checkpoint.h"
#include "rt/io/state_dict.h"
#include "tests/io/support.h"

namespace rt::io::test {

// A small checkpoint whose every file depends on `salt`.
inline fs::path save_checkpoint(const fs::path& root, std::uint64_t step, int salt) {
  std::vector<float> weights(300);
  std::iota(weights.begin(), weights.end(), static_cast<float>(salt));
  std::vector<float> moments(300, static_cast<float>(2 * salt));
  const std::vector<NamedTensor> model{named("w", weights, {20, 15})};
  const std::vector<NamedTensor> optimizer{named("w.m", moments, {20, 15})};
  CheckpointWriter w(root, step);
  w.tensors("model.safetensors", model, {{"salt", std::to_string(salt)}});
  w.tensors("optimizer.safetensors", optimizer);
  w.text("state.json", "{\"salt\": " + std::to_string(salt) + "}\n");
  w.text("config.yaml", "salt: " + std::to_string(salt) + "\n");
  return w.commit();
}

// Reads every file and returns the salt they agree on; -1 if they do not.
inline int read_checkpoint(const fs::path& dir) {
  const auto model = open_archive(dir / "model.safetensors");
  const int salt = std::stoi(model.metadata().at("salt"));
  const bool agree =
      model.read_f32("w")[7] == static_cast<float>(salt + 7) &&
      open_archive(dir / "optimizer.safetensors").read_f32("w.m")[299] == static_cast<float>(2 * salt) &&
      slurp(dir / "state.json") == "{\"salt\": " + std::to_string(salt) + "}\n" &&
      slurp(dir / "config.yaml") == "salt: " + std::to_string(salt) + "\n";
  return agree ? salt : -1;
}

inline std::vector<std::uint64_t> steps_of(const std::vector<CheckpointInfo>& list) {
  std::vector<std::uint64_t> out;
  for (const auto& c : list) out.push_back(c.step);
  return out;
}

inline const char* const kCheckpointFiles[] = {"model.safetensors", "optimizer.safetensors", "state.json",
                                               "config.yaml", "manifest.json"};

}  // namespace rt::io::test
