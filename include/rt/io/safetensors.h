#pragma once
#include <filesystem>
#include <span>
#include <string>

#include "rt/io/archive.h"
#include "rt/io/file.h"

namespace rt::io {

struct NamedTensor {
  std::string name;
  TensorView view;  // on the CPU; need not be contiguous
};

// Same tensors and metadata give the same bytes: ordered by element size (largest first), then name, so that
// each is naturally aligned; data starts at a multiple of 64. Atomic and durable like atomic_write.
FileDigest write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                             const Metadata& metadata = {});
// Elements [begin, begin + n) of a tensor.
struct TensorPart {
  std::string name;
  std::int64_t begin = 0;
  TensorView values;  // (n) contiguous, on any device
};
// The same bytes, written by several processes: each its own parts, the leader also the header. `tensors`:
// all of them, of which only names, dtypes and shapes count. Returns what this process wrote and the size of
// the whole file.
std::pair<std::vector<FilePiece>, std::uint64_t> share_safetensors(const std::filesystem::path& path,
                                                                   std::span<const NamedTensor> tensors,
                                                                   std::span<const TensorPart> mine,
                                                                   const Metadata& metadata, bool leads);
// The same bytes into a file that is part of something larger.
void write_safetensors(FileWriter& out, std::span<const NamedTensor> tensors, const Metadata& metadata = {});

}  // namespace rt::io
