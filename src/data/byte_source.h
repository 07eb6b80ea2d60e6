#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "data/input_files.h"

namespace rt::data {

// A file as it lies on disk, read once from front to end. Exit::Data with path and byte.
class RawFile {
 public:
  explicit RawFile(const InputFile& file);
  ~RawFile();
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;
  // Fills as much of [to, to + n) as there is; less than n means the end. A file whose size is not what it
  // was when it was listed is refused.
  std::size_t read(char* to, std::size_t n);
  void skip(std::uint64_t n);
  std::uint64_t position() const { return at_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_ = -1;
  std::uint64_t at_ = 0, expected_ = 0;
};

// The bytes of an input file, unpacked. Exit::Data with path and byte.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual std::size_t read(char* to, std::size_t n) = 0;  // less than n means the end
  virtual void skip(std::uint64_t n);                     // the bytes must be there
  virtual std::uint64_t consumed() const = 0;             // bytes of the file on disk that were used
};

std::unique_ptr<ByteSource> open_bytes(const InputFile& file);

// In the file of the library that unpacks it.
std::unique_ptr<ByteSource> open_gzip(const InputFile& file);  // any number of members, as gzip reads them
std::unique_ptr<ByteSource> open_zstd(const InputFile& file);  // any number of frames, windows up to 2 GiB

}  // namespace rt::data
