#include "rt/io/file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/hasher.h"
#include "io/sys.h"
#include "rt/core/error.h"

namespace rt::io {
namespace fs = std::filesystem;

namespace {
constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

fs::path parent_of(const fs::path& path) {
  const auto parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

class ReadFd {
 public:
  explicit ReadFd(const fs::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) sys::fail_errno(path, "cannot open", errno);
  }
  ~ReadFd() { ::close(fd_); }
  ReadFd(const ReadFd&) = delete;
  ReadFd& operator=(const ReadFd&) = delete;
  std::size_t read(const fs::path& path, void* into, std::size_t bytes) const {
    ssize_t n;
    do { n = ::read(fd_, into, bytes); } while (n < 0 && errno == EINTR);
    if (n < 0) sys::fail_errno(path, "read failed", errno);
    return static_cast<std::size_t>(n);
  }

 private:
  int fd_;
};
}  // namespace

struct FileWriter::State {
  int fd = -1;
  std::vector<std::byte> buffer;
  Hasher hasher;
};

FileWriter::FileWriter(fs::path path) : path_(std::move(path)), state_(std::make_unique<State>()) {
  state_->buffer.reserve(kBufferBytes);
  state_->fd = sys::open_for_write(path_);
}

FileWriter::~FileWriter() {
  if (!state_) return;
  if (state_->fd >= 0) ::close(state_->fd);
  ::unlink(path_.c_str());
}

void FileWriter::flush() {
  sys::write_all(state_->fd, path_, state_->buffer.data(), state_->buffer.size());
  state_->buffer.clear();
}

void FileWriter::write(const void* data, std::size_t bytes) {
  RT_CHECK(state_ != nullptr, "{}: written to after finish()", path_.string());
  if (bytes == 0) return;
  const auto* from = static_cast<const std::byte*>(data);
  state_->hasher.update(from, bytes);
  if (state_->buffer.size() + bytes > kBufferBytes) flush();
  if (bytes >= kBufferBytes) {
    sys::write_all(state_->fd, path_, from, bytes);
  } else {
    state_->buffer.insert(state_->buffer.end(), from, from + bytes);
  }
}

FileDigest FileWriter::finish() {
  RT_CHECK(state_ != nullptr, "{}: finished twice", path_.string());
  flush();
  sys::sync(state_->fd, path_);
  sys::close(std::exchange(state_->fd, -1), path_);
  auto digest = state_->hasher.finish();
  state_.reset();
  return digest;
}

SharedFileWriter::SharedFileWriter(fs::path path) : path_(std::move(path)), fd_(sys::open_to_share(path_)) {}

SharedFileWriter::~SharedFileWriter() {
  if (fd_ >= 0) ::close(fd_);
}

void SharedFileWriter::write(std::uint64_t offset, const void* data, std::size_t bytes) {
  const auto* from = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const std::size_t n = std::min<std::size_t>(bytes, kDigestBlockBytes);
    pieces_.push_back({offset, offset + n, xxh3({from, n})});
    sys::write_at(fd_, path_, from, n, offset);
    from += n;
    offset += n;
    bytes -= n;
  }
}

std::vector<FilePiece> SharedFileWriter::finish() {
  sys::sync(fd_, path_);
  sys::close(std::exchange(fd_, -1), path_);
  return std::move(pieces_);
}

FileDigest digest_of(std::vector<FilePiece> pieces, std::uint64_t size, const fs::path& path) {
  std::sort(pieces.begin(), pieces.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
  FileDigest digest{.size = size, .xxh3 = 0, .blocks = {}};
  std::uint64_t at = 0;
  for (const FilePiece& piece : pieces) {
    if (piece.begin != at) break;
    digest.blocks.push_back(piece.xxh3);
    digest.ends.push_back(at = piece.end);
  }
  if (at != size || digest.ends.size() != pieces.size()) {
    fail(Exit::Checkpoint, "{}: the processes of this run did not write each of its {} bytes once (byte {})",
         path.string(), size, at);
  }
  digest.xxh3 = xxh3(std::as_bytes(std::span(digest.blocks)));
  return digest;
}

FileDigest atomic_write(const fs::path& path, const std::function<void(FileWriter&)>& produce) {
  auto temporary = path;
  temporary += ".tmp";
  FileWriter out(temporary);
  produce(out);
  auto digest = out.finish();
  try {
    sys::rename(temporary, path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sys::sync_directory(parent_of(path));
  return digest;
}

void atomic_write(const fs::path& path, std::string_view content) {
  atomic_write(path, [&](FileWriter& out) { out.write(content); });
}

FileDigest digest_file(const fs::path& path, std::span<const std::uint64_t> ends) {
  const ReadFd file(path);
  if (!ends.empty()) {
    FileDigest digest{.size = 0, .xxh3 = 0, .blocks = {}};
    std::vector<std::byte> block;
    for (const std::uint64_t end : ends) {
      block.resize(end - digest.size);
      std::size_t got = 0;
      while (got < block.size()) {
        const std::size_t n = file.read(path, block.data() + got, block.size() - got);
        if (n == 0) break;
        got += n;
      }
      digest.size += got;
      digest.blocks.push_back(xxh3(std::span(block).first(got)));
      digest.ends.push_back(digest.size);
    }
    digest.xxh3 = xxh3(std::as_bytes(std::span(digest.blocks)));
    return digest;
  }
  Hasher hasher;
  std::vector<std::byte> buffer(kBufferBytes);
  while (const std::size_t n = file.read(path, buffer.data(), buffer.size())) hasher.update(buffer.data(), n);
  return hasher.finish();
}

std::string read_text(const fs::path& path, std::uint64_t max_bytes) {
  const ReadFd file(path);
  std::string text;
  std::vector<char> buffer(std::size_t{1} << 16);
  while (const std::size_t n = file.read(path, buffer.data(), buffer.size())) {
    if (text.size() + n > max_bytes) {
      fail(Exit::Checkpoint, "{}: larger than {} bytes, which is too much for a text file", path.string(),
           max_bytes);
    }
    text.append(buffer.data(), n);
  }
  return text;
}

std::uint64_t free_disk_bytes(const fs::path& path) {
  auto existing = fs::absolute(path);
  std::error_code ignored;
  while (!fs::exists(existing, ignored) && existing.has_relative_path()) existing = existing.parent_path();
  struct statvfs info {};
  if (::statvfs(existing.c_str(), &info) != 0) {
    fail(Exit::Checkpoint, "{}: cannot read the free disk space: {}", existing.string(),
         std::strerror(errno));
  }
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace rt::io
