#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/core/tensor.h"

namespace rt::io {

// Element types found in files; only some are a DType.
enum class FileDType : std::uint8_t {
  Bool,
  U8,
  I8,
  F8E5M2,
  F8E4M3,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  F64,
  I64,
  U64
};
std::string_view name(FileDType t);  // as safetensors spells it: "BF16", "F8_E4M3"
std::size_t size_of(FileDType t);
FileDType file_dtype(DType t);

using Metadata = std::map<std::string, std::string>;

struct TensorInfo {
  std::string name;
  FileDType dtype = FileDType::F32;
  Shape shape;
};

// Named tensors of a file, read-only and memory-mapped: safetensors, or a PyTorch .pth. Opening validates
// everything that later reads rely on. Errors are Exit::Checkpoint with the path. The file must not be
// truncated while open. Thread-safe.
class TensorArchive {
 public:
  struct Impl;
  explicit TensorArchive(std::unique_ptr<Impl> impl);
  TensorArchive(TensorArchive&&) noexcept;
  TensorArchive& operator=(TensorArchive&&) noexcept;
  ~TensorArchive();

  const std::filesystem::path& path() const;
  std::span<const TensorInfo> tensors() const;  // in file order
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const;
  const TensorInfo& info(std::string_view name) const;
  const Metadata& metadata() const;  // empty for a .pth

  // F64, F32, BF16, I32, U8 and Bool (as U8): a contiguous view that lives as long as the archive and must
  // not be written to. Points into the file where alignment and strides allow, else into a copy made once.
  // Other types are refused with the name of the reader to use.
  TensorView tensor(std::string_view name) const;

  // Converted copies, row-major. Any type widens or rounds to float; read_i64 takes integer types only.
  std::vector<float> read_f32(std::string_view name) const;
  std::vector<double> read_f64(std::string_view name) const;
  std::vector<std::int64_t> read_i64(std::string_view name) const;

  // Fills `out` (contiguous, on any device, same shape), converting as above; an integer that does not fit is
  // refused.
  void read_into(std::string_view name, const TensorView& out) const;
  // Elements [begin, begin + n), into `out` (n).
  void read_part(std::string_view name, std::int64_t begin, const TensorView& out) const;

 private:
  std::unique_ptr<Impl> impl_;
};

// Picks the reader by content: a zip is a .pth, anything else must be safetensors.
TensorArchive open_archive(const std::filesystem::path& path);

// huggingface/safetensors README.md, safetensors/src/tensor.rs `validate`: no hole, overlap or trailing byte.
TensorArchive open_safetensors(const std::filesystem::path& path);

// torch.save's zip form, by an interpreter of the pickle opcodes that state dicts use: nothing is imported or
// called.
// {"state_dict": ...} (or module, model) is unwrapped, prefixes `_forward_module.` and `module.` on every
// name are stripped, values that are not tensors are skipped.
TensorArchive open_pth(const std::filesystem::path& path);

}  // namespace rt::io
