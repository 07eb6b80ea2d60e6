#include "rt/io/file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/hasher.h"
#include "io/pages.h"
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
  explicit ReadFd(const fs::path& path, ReadFrom from = ReadFrom::Cache) {
    if (from == ReadFrom::Disk) fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (fd_ < 0) fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) sys::fail_errno(path, "cannot open", errno);
  }
  ~ReadFd() { ::close(fd_); }
  ReadFd(const ReadFd&) = delete;
  ReadFd& operator=(const ReadFd&) = delete;
  // From the disk: into whole pages.
  std::size_t read(const fs::path& path, void* into, std::size_t bytes) const {
    for (;;) {
      const ssize_t n = ::read(fd_, into, bytes);
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno == EINTR) continue;
      if (errno == EINVAL && sys::leave_direct(fd_)) continue;
      sys::fail_errno(path, "read failed", errno);
    }
  }

 private:
  int fd_ = -1;
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

FileDigest digest_file(const fs::path& path, std::span<const std::uint64_t> ends, ReadFrom from) {
  const ReadFd file(path, from);
  Hasher hasher(ends);
  const Pages buffer = allocate_pages(kDigestBlockBytes);
  while (const std::size_t n = file.read(path, buffer.get(), kDigestBlockBytes))
    hasher.update(buffer.get(), n);
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
