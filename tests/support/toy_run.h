#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

// A run small enough to be repeated dozens of times in a test: 2 layers, 3 sequences of 16 bytes per step, 6
// steps per epoch.
namespace rt::testing {

class TempDir {
 public:
  explicit TempDir(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / (name + "-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Writes the corpus into `dir` and returns the YAML of the run; its directory is `run`.
inline std::string toy_config(const std::filesystem::path& dir, const std::filesystem::path& run, int steps,
                              const std::string& extra = "") {
  const std::filesystem::path text = dir / "toy.txt";
  if (!std::filesystem::exists(text)) {
    std::ofstream out(text);
    for (int i = 0; i < 289; ++i) out << static_cast<char>('a' + (i * i + i / 7) % 26);
  }
  return "run: {name: toy, dir: " + run.string() +
         ", seed: 7}\n"
         "model: {arch: rwkv7, layers: 2, width: 32, head_size: 16, decay_rank: 8, a_rank: 8, v_rank: 8, "
         "gate_rank: 8}\n"
         "data: {train: [{path: " +
         text.string() +
         "}], seq_len: 16}\n"
         "batch: {global_tokens: 48, micro_sequences: 1}\n"
         "optimizer: {lr: 3.0e-3}\n"
         "schedule: {type: cosine, warmup: 2steps}\n"
         "budget: {steps: " +
         std::to_string(steps) +
         "}\n"
         "log: {every: 1steps, console: quiet}\n" +
         extra;
}

inline std::string file_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// What a checkpoint holds that must be the same to the bit.
inline std::string run_bits(const std::filesystem::path& checkpoint) {
  return file_bytes(checkpoint / "model.safetensors") + file_bytes(checkpoint / "optimizer.safetensors") +
         file_bytes(checkpoint / "recurrent.safetensors");
}

}  // namespace rt::testing
