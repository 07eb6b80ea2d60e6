#pragma once
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "rt/core/mapped_file.h"
#include "rt/io/archive.h"

namespace rt::io {

// What a format's parser finds. Every element reachable through shape and strides lies inside the parsed
// bytes.
struct ParsedTensor {
  TensorInfo info;
  Strides strides;  // in elements, not negative
  const std::byte* data = nullptr;
};
struct ParsedArchive {
  std::vector<ParsedTensor> tensors;
  Metadata metadata;
};

// The parsers work on bytes so that tests can feed them damage without a file; `path` is for errors.
ParsedArchive parse_safetensors(std::span<const std::byte> bytes, const std::filesystem::path& path);
ParsedArchive parse_pth(std::span<const std::byte> bytes, const std::filesystem::path& path);

// Bytes of a contiguous tensor; fails where they, or a stride, would exceed int64.
std::int64_t checked_bytes(const Shape& shape, FileDType dtype, const std::filesystem::path& path,
                           const std::string& tensor);

inline constexpr std::size_t kMaxTensorName = 512;
inline constexpr std::size_t kMaxTensors = 1'000'000;

struct TensorArchive::Impl {
  Impl(std::filesystem::path path, MappedFile file, ParsedArchive parsed);
  std::size_t at(std::string_view name) const;

  std::filesystem::path path;
  MappedFile file;
  Metadata metadata;
  std::vector<TensorInfo> infos;
  std::vector<ParsedTensor> parsed;
  std::unordered_map<std::string_view, std::size_t> index;  // keys point into infos
  mutable std::mutex mutex;                                 // guards copies
  mutable std::unordered_map<std::size_t, std::vector<std::byte>> copies;
};

}  // namespace rt::io
