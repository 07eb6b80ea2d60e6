#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/io/file.h"
#include "rt/io/safetensors.h"

// Checkpoints: directories `step-00001234` under a root. Each holds `manifest.json`, written last, with the
// size and XXH3-64 of every other file. A directory gets its name by a rename after everything in it is on
// disk, so a name without ".tmp" is complete; what rots later is found by verify_checkpoint. One process at a
// time changes a root.
namespace rt::io {

// CheckpointWriter w(root, step); w.tensors("model.safetensors", ...); w.text("state.json", ...); w.commit();
// Works in `step-N.tmp`. On any error, or without commit(), the destructor removes it and earlier checkpoints
// are as they were. May be used on a background thread.
//
// Several processes write one checkpoint together: each makes the same calls, and rank 0's are those that
// count, but for tensors, of which each writes its parts. An error of one is thrown in all.
struct SaveCrew {
  int rank = 0, size = 1;
  // Everyone's text, by rank, once all have called it.
  std::function<std::vector<std::string>(const std::string& text)> gather = {};
  bool leads() const { return rank == 0; }
};

class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path root, std::uint64_t step, SaveCrew crew = {});
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  void tensors(const std::string& file, std::span<const NamedTensor> tensors, const Metadata& metadata = {});
  // `mine`: what this process has of them; of a crew of one, all.
  void tensors(const std::string& file, std::span<const NamedTensor> tensors,
               std::span<const TensorPart> mine, const Metadata& metadata = {});
  void text(const std::string& file, std::string_view content);
  void bytes(const std::string& file, std::span<const std::byte> content);
  void file(const std::string& file, const std::function<void(FileWriter&)>& produce);

  // Durable when it returns the directory. A checkpoint of the same step is replaced without a moment in
  // which neither exists.
  std::filesystem::path commit();

 private:
  void together(const std::function<std::string()>& mine,
                const std::function<void(const std::vector<std::string>&)>& then = {});
  void lead(const std::function<void()>& work);
  void begin_file(const std::string& name);
  void rename_into_place();
  std::filesystem::path root_, temporary_, final_;
  SaveCrew crew_;
  std::uint64_t step_;
  std::map<std::string, FileDigest> files_;
  bool failed_ = false;
  bool committed_ = false;
};

struct CheckpointInfo {
  std::uint64_t step = 0;
  std::filesystem::path dir;
};

std::string checkpoint_name(std::uint64_t step);                                  // "step-00001234"
std::vector<CheckpointInfo> list_checkpoints(const std::filesystem::path& root);  // by step, unverified
std::vector<std::filesystem::path> partial_checkpoints(
    const std::filesystem::path& root);  // leftover step-N.tmp

// Throws Exit::Checkpoint naming the directory, the file, and the damaged bytes:
// "runs/x/step-00012000 failed verification (optimizer.safetensors: checksum mismatch in bytes
// 4194304-8388608, ...)".
void verify_checkpoint(const std::filesystem::path& dir);

// The newest checkpoint that verifies. Each newer one that does not is moved to `quarantine/` with one
// warning line; partial ones are ignored with one line. Nothing is deleted.
std::optional<CheckpointInfo> newest_good_checkpoint(const std::filesystem::path& root);

// Removes what killed saves and prunings left, partial checkpoints and `.trash/`. For the start of a run: who
// else writes there would lose its save.
void sweep_checkpoints(const std::filesystem::path& root);

struct Retention {
  std::size_t last = 3;              // at least one is always kept
  std::uint64_t every_steps = 0;     // also keep multiples of this; 0: none
  std::vector<std::uint64_t> steps;  // also keep these, e.g. the best by a metric
};

// Removes the rest, oldest first, and returns what was removed. If nothing that would be kept verifies, the
// newest one that does is kept as well. A kill in the middle leaves whole checkpoints and `.trash/` only.
std::vector<CheckpointInfo> prune_checkpoints(const std::filesystem::path& root, const Retention& keep);

}  // namespace rt::io
