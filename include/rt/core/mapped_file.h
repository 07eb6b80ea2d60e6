#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "rt/core/error.h"

namespace rt {

// A whole file mapped read-only; empty files are empty. Move-only. Errors name the path and carry `code`.
class MappedFile {
 public:
  MappedFile(const std::filesystem::path& path, Exit code);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::byte* data() const { return data_; }  // null when the file is empty
  std::size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace rt
