#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/core/error.h"

// Durable files. Every failure is an rt::Error (Exit::Checkpoint) of one line that names the path.
namespace rt::io {

// No space is left, or a quota is used up: what failed may work later.
class DiskFull final : public Error {
 public:
  explicit DiskFull(const std::string& what) : Error(Exit::Checkpoint, what) {}
};

inline constexpr std::uint64_t kDigestBlockBytes = std::uint64_t{4} << 20;

struct FileDigest {
  std::uint64_t size = 0;
  std::uint64_t xxh3 = 0;             // XXH3-64 of the whole file, seed 0
  std::vector<std::uint64_t> blocks;  // XXH3-64 of each kDigestBlockBytes; empty for a file of one block
  // Where blocks end that are of other sizes, as in a file that several processes wrote; xxh3 is then of
  // `blocks`. Else empty.
  std::vector<std::uint64_t> ends = {};
  friend bool operator==(const FileDigest&, const FileDigest&) = default;
};

// A new file at `path` (an existing one is truncated), hashed while it is written. Without finish() the
// destructor removes it: a half-written file never keeps its name.
class FileWriter {
 public:
  explicit FileWriter(std::filesystem::path path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  FileDigest finish();  // flush, fsync, close
  const std::filesystem::path& path() const { return path_; }

 private:
  struct State;
  void flush();
  std::filesystem::path path_;
  std::unique_ptr<State> state_;
};

// What one of several processes wrote of a file.
struct FilePiece {
  std::uint64_t begin = 0, end = 0, xxh3 = 0;
};

// A file that several processes write at once, each at places of its own, on a file system they share. Whole
// pages go past the page cache where the file system lets them, so that a checkpoint costs the training
// beside it little of a core and drives nobody's data out of memory: what is written in the order of the file
// goes out in large pieces, what is not in small ones.
class SharedFileWriter {
 public:
  explicit SharedFileWriter(std::filesystem::path path);  // created, or as another process created it
  ~SharedFileWriter();                                    // without finish(), some of it is not written
  SharedFileWriter(const SharedFileWriter&) = delete;
  SharedFileWriter& operator=(const SharedFileWriter&) = delete;
  void write(std::uint64_t offset, const void* data, std::size_t bytes);
  std::vector<FilePiece> finish();  // fsync, close; pieces of at most kDigestBlockBytes

 private:
  struct State;
  void flush();
  std::filesystem::path path_;
  std::unique_ptr<State> state_;
  std::vector<FilePiece> pieces_;
};
// Of all processes' pieces. Exit::Checkpoint when they are not the whole of `size` bytes, each once.
FileDigest digest_of(std::vector<FilePiece> pieces, std::uint64_t size, const std::filesystem::path& path);

// Readers see the old content or the whole new one, also after a crash: temporary file, fsync, rename, fsync
// of the directory. The directory must exist.
void atomic_write(const std::filesystem::path& path, std::string_view content);
FileDigest atomic_write(const std::filesystem::path& path, const std::function<void(FileWriter&)>& produce);

// Disk: past the page cache where the file system has such reads. For what nobody will read again soon, and
// to see what is kept rather than what was written.
enum class ReadFrom { Cache, Disk };

// `ends`: of the blocks; empty: each of kDigestBlockBytes.
FileDigest digest_file(const std::filesystem::path& path, std::span<const std::uint64_t> ends = {},
                       ReadFrom from = ReadFrom::Cache);
std::uint64_t xxh3(std::span<const std::byte> bytes);
std::string read_text(const std::filesystem::path& path, std::uint64_t max_bytes = std::uint64_t{64} << 20);

// Bytes an unprivileged process may still write on the file system of `path`, which need not exist yet.
std::uint64_t free_disk_bytes(const std::filesystem::path& path);

}  // namespace rt::io
