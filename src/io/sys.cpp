#include "io/sys.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <system_error>

#include "rt/core/error.h"
#include "rt/io/file.h"
#include "rt/io/testing.h"

namespace rt::io {
namespace {
std::mutex hook_mutex;
testing::FaultHook fault_hook;
}  // namespace

void testing::set_fault_hook(FaultHook hook) {
  const std::lock_guard lock(hook_mutex);
  fault_hook = std::move(hook);
}

namespace sys {
namespace {
using testing::FileOp;

testing::Fault announce(FileOp op, bool done, const fs::path& path, std::size_t bytes = 0) {
  const std::lock_guard lock(hook_mutex);
  return fault_hook ? fault_hook({op, done, path, bytes}) : testing::Fault{};
}

// Runs `call` (0 or more on success, -1 with errno) between the two hook events; returns an errno, 0 for
// success.
template <class Call>
int hooked(FileOp op, const fs::path& path, Call call) {
  if (const auto fault = announce(op, false, path); fault.error != 0) return fault.error;
  int error = 0;
  do { error = call() < 0 ? errno : 0; } while (error == EINTR);
  announce(op, true, path);
  return error;
}
}  // namespace

void fail_errno(const fs::path& path, const char* what, int error) {
  if (error == ENOSPC || error == EDQUOT) {
    throw DiskFull(format(
        "{}: {}: {}, {} MiB free. Free disk space or keep fewer checkpoints.", path.string(), what,
        error == ENOSPC ? "no space left on device" : "disk quota exceeded", free_disk_bytes(path) >> 20));
  }
  fail(Exit::Checkpoint, "{}: {}: {}", path.string(), what, std::generic_category().message(error));
}

namespace {

int open_with(const fs::path& path, int flags) {
  int fd = -1;
  const int error = hooked(FileOp::Open, path, [&] {
    return fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
  });
  if (error != 0) fail_errno(path, "cannot create", error);
  return fd;
}

// `call` writes up to so many bytes from there.
template <class Call>
void write_with(const fs::path& path, const void* data, std::size_t bytes, Call call) {
  constexpr std::size_t kMaxCall = std::size_t{1} << 30;  // Linux writes at most 2 GiB at a time
  const auto* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const std::size_t ask = std::min(bytes, kMaxCall);
    const auto fault = announce(FileOp::Write, false, path, ask);
    if (fault.error != 0) fail_errno(path, "write failed", fault.error);
    const ssize_t n = call(next, std::min(ask, fault.max_bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(path, "write failed", errno);
    if (n == 0) fail_errno(path, "write failed", EIO);
    announce(FileOp::Write, true, path, static_cast<std::size_t>(n));
    next += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

}  // namespace

int open_for_write(const fs::path& path) { return open_with(path, O_TRUNC); }
int open_to_share(const fs::path& path) { return open_with(path, 0); }
int open_direct(const fs::path& path) { return ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_DIRECT); }

bool leave_direct(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_DIRECT) != 0 && ::fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

void write_all(int fd, const fs::path& path, const void* data, std::size_t bytes) {
  write_with(path, data, bytes, [fd](const char* from, std::size_t n) { return ::write(fd, from, n); });
}

void write_at(int fd, const fs::path& path, const void* data, std::size_t bytes, std::uint64_t offset) {
  const auto* begin = static_cast<const char*>(data);
  write_with(path, data, bytes, [&](const char* from, std::size_t n) {
    const off_t place = static_cast<off_t>(offset) + (from - begin);
    const ssize_t written = ::pwrite(fd, from, n, place);
    // Also a rest of less than a block, after a short write.
    return written < 0 && errno == EINVAL && leave_direct(fd) ? ::pwrite(fd, from, n, place) : written;
  });
}

void sync(int fd, const fs::path& path) {
  if (const int error = hooked(FileOp::Sync, path, [&] { return ::fsync(fd); }); error != 0) {
    fail_errno(path, "fsync failed", error);
  }
}

void close(int fd, const fs::path& path) {
  // Linux frees the descriptor even when close reports EINTR, so it must not be repeated.
  const int error = hooked(FileOp::Close, path, [&] { return ::close(fd) < 0 && errno != EINTR ? -1 : 0; });
  if (error != 0) fail_errno(path, "close failed", error);
}

void sync_directory(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_errno(path, "cannot open the directory", errno);
  const int error = hooked(FileOp::Sync, path, [&] { return ::fsync(fd); });
  ::close(fd);
  // Some network file systems cannot fsync a directory and say EINVAL; there is nothing more to do on them.
  if (error != 0 && error != EINVAL) fail_errno(path, "fsync of the directory failed", error);
}

void rename(const fs::path& from, const fs::path& to) {
  const int error = hooked(FileOp::Rename, to, [&] { return std::rename(from.c_str(), to.c_str()); });
  if (error != 0) fail_errno(from, ("rename to " + to.string() + " failed").c_str(), error);
}

bool exchange(const fs::path& a, const fs::path& b) {
  const int error = hooked(FileOp::Exchange, b, [&] {
    return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
  });
  if (error == EINVAL || error == ENOSYS || error == ENOTSUP) return false;
  if (error != 0) fail_errno(a, ("exchange with " + b.string() + " failed").c_str(), error);
  return true;
}

void make_directory(const fs::path& path) {
  const int error = hooked(FileOp::MakeDirectory, path, [&] { return ::mkdir(path.c_str(), 0755); });
  if (error == EEXIST && fs::is_directory(path)) return;
  if (error != 0) fail_errno(path, "cannot create the directory", error);
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  const int injected = hooked(FileOp::Remove, path, [&] {
    fs::remove_all(path, error);
    return 0;
  });
  if (injected != 0) fail_errno(path, "cannot remove", injected);
  if (error) fail_errno(path, "cannot remove", error.value());
}

}  // namespace sys
}  // namespace rt::io
