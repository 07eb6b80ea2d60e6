#include "data/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "rt/core/error.h"

namespace rt::data {
namespace {

testing::DiskHook disk_hook;

constexpr std::uint64_t kSendEvery = std::uint64_t{8} << 20;

// What the hook says of the call that is about to happen.
int injected(testing::DiskOp op, const std::filesystem::path& path, std::size_t& bytes) {
  return disk_hook ? disk_hook(op, path, bytes) : 0;
}
int injected(testing::DiskOp op, const std::filesystem::path& path) {
  std::size_t none = 0;
  return injected(op, path, none);
}

}  // namespace

void testing::set_disk_hook(DiskHook hook) { disk_hook = std::move(hook); }

OutputFile::OutputFile(const std::filesystem::path& path) : path_(path.string()) {
  fd_ = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  if (fd_ < 0) refuse("create", errno);
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void OutputFile::refuse(const char* what, int error) const {
  const bool full = error == ENOSPC || error == EDQUOT;
  fail(Exit::Data, "{}: cannot {}: {}{}", path_, what, std::strerror(error),
       full ? "; make room, or choose an output on another disk" : "");
}

void OutputFile::write(const void* bytes, std::size_t n) {
  const auto* next = static_cast<const char*>(bytes);
  while (n > 0) {
    std::size_t most = n;
    if (const int error = injected(testing::DiskOp::Write, path_, most)) refuse("write", error);
    const ssize_t done = ::write(fd_, next, most);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) refuse("write", errno);
    next += done;
    at_ += static_cast<std::uint64_t>(done);
    n -= static_cast<std::size_t>(done);
  }
#ifdef SYNC_FILE_RANGE_WRITE
  if (at_ >= sent_ + kSendEvery) {  // a hint: where it is not possible, sync() does it all
    ::sync_file_range(fd_, static_cast<off_t>(sent_), static_cast<off_t>(at_ - sent_), SYNC_FILE_RANGE_WRITE);
    sent_ = at_;
  }
#endif
}

void OutputFile::write_at(std::uint64_t offset, const void* bytes, std::size_t n) {
  if (::lseek(fd_, static_cast<off_t>(offset), SEEK_SET) < 0) refuse("seek", errno);
  at_ = sent_ = offset;
  write(bytes, n);
}

void OutputFile::sync() {
  if (const int error = injected(testing::DiskOp::Sync, path_)) refuse("write", error);
  if (::fsync(fd_) != 0) refuse("write", errno);
}

void OutputFile::close() {
  sync();
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0) refuse("write", errno);
}

void sync_directory(const std::filesystem::path& dir) {
  const std::string path = dir.empty() ? "." : dir.string();
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return;  // some file systems do not let a directory be opened; the rename itself is still atomic
  ::fsync(fd);
  ::close(fd);
}

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  int error = injected(testing::DiskOp::Rename, to);
  if (error == 0 && ::rename(from.c_str(), to.c_str()) != 0) error = errno;
  if (error != 0)
    fail(Exit::Data, "{}: cannot rename it to {}: {}", from.string(), to.string(), std::strerror(error));
}

}  // namespace rt::data
