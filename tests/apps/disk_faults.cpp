// Preloaded into the processes of a run: what changes its checkpoints is written down, and goes wrong where a
// test says. The program itself has no part in it.
//   RT_DISK_DIR     where one file for each rank gets a line "OP PATH NUMBER OFFSET BYTES" for each call that
//   is about
//                   to be made. PATH is as seen from checkpoints/; NUMBER counts this OP on this PATH from 0.
//   RT_DISK_FAULTS  "RANK OP PATH NUMBER WHAT" with ';' between: what shall happen instead, once in a run,
//   restarts
//                   included. kill: SIGKILL. torn: of a write, half is done first. lost: the supervisor is
//                   killed first. full: ENOSPC. broken: EIO. short: of a write, half is done, and said to be.
//                   slow: 3 s later.
//   RT_DISK_RANK    the rank, where no supervisor says it (RT_RANK)
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>
#include <string>

namespace {

template <class F>
F* next(F*, const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}
#define NEXT(name) next(&::name, #name)

struct Plan {
  std::string rank, dir;
  std::map<std::string, std::string> faults;  // "OP PATH NUMBER" of this rank, and what

  Plan() {
    const char *mine = getenv(getenv("RT_RANK") ? "RT_RANK" : "RT_DISK_RANK"), *to = getenv("RT_DISK_DIR"),
               *list = getenv("RT_DISK_FAULTS");
    if (!mine || !to) return;
    rank = mine;
    dir = to;
    std::istringstream in(list ? list : "");
    for (std::string fault; std::getline(in, fault, ';');) {
      const std::size_t first = fault.find(' '), last = fault.rfind(' ');
      if (fault.substr(0, first) == rank)
        faults[fault.substr(first + 1, last - first - 1)] = fault.substr(last + 1);
    }
  }
};

const Plan& plan() {
  static const Plan all;
  return all;
}

// As seen from checkpoints/; empty: it is not in there.
std::string place(const std::string& path) {
  constexpr std::string_view root = "/checkpoints";
  const std::size_t at = path.rfind(root);
  if (at == std::string::npos) return "";
  const std::string rest = path.substr(at + root.size());
  if (rest.empty()) return ".";
  return rest[0] == '/' ? rest.substr(1) : "";
}

std::string path_of(int fd) {
  char path[PATH_MAX];
  const ssize_t n = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  return n > 0 ? std::string(path, static_cast<std::size_t>(n)) : "";
}

void append(const std::string& file, const std::string& line) {
  const int fd = NEXT(open)(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (NEXT(write)(fd, line.data(), line.size()) < 0) abort();
  NEXT(close)(fd);
}

// What is to happen instead of the call.
std::string meet(const char* op, const std::string& path, std::uint64_t offset = 0, std::size_t bytes = 0) {
  static std::mutex mutex;
  static std::map<std::string, int> seen;
  if (plan().rank.empty()) return "";
  const std::string where = place(path);
  if (where.empty()) return "";
  const std::lock_guard lock(mutex);
  std::string key = std::string(op) + " " + where;
  const int number = seen[key]++;
  key += " " + std::to_string(number);
  append(plan().dir + "/rank" + plan().rank,
         key + " " + std::to_string(offset) + " " + std::to_string(bytes) + "\n");
  const auto found = plan().faults.find(key);
  if (found == plan().faults.end()) return "";
  for (char& c : key) c = c == '/' ? '!' : c;
  const std::string mark = plan().dir + "/done " + plan().rank + " " + key;
  const int fd = NEXT(open)(mark.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return "";
  NEXT(close)(fd);
  return found->second;
}

[[noreturn]] void die() {
  for (;;) kill(getpid(), SIGKILL);
}

// True: the call shall fail.
bool fails(const std::string& what) {
  if (what == "slow") sleep(3);
  if (what == "lost" && getppid() > 1) kill(getppid(), SIGKILL);
  if (what == "lost" || what == "kill") die();
  if (what != "full" && what != "broken") return false;
  errno = what == "full" ? ENOSPC : EIO;
  return true;
}

// `bytes` of what a call was to write, also where that goes past the page cache, which takes whole blocks
// only.
ssize_t write_here(int fd, const void* data, size_t bytes, off_t offset) {
  if ((fcntl(fd, F_GETFL) & O_DIRECT) == 0) return NEXT(pwrite)(fd, data, bytes, offset);
  const int same = NEXT(open)(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_CLOEXEC);
  if (same < 0) abort();
  const ssize_t n = NEXT(pwrite)(same, data, bytes, offset);
  NEXT(close)(same);
  return n;
}

template <class Write>
ssize_t write_some(const std::string& what, std::size_t bytes, const Write& write) {
  if (what == "torn") {
    write(bytes / 2);
    die();
  }
  if (fails(what)) return -1;
  return write(what == "short" ? (bytes + 1) / 2 : bytes);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if ((flags & O_CREAT) != 0 && fails(meet("open", path))) return -1;
  return NEXT(open)(path, flags, mode);
}

ssize_t write(int fd, const void* data, size_t bytes) {
  if (plan().rank.empty()) return NEXT(write)(fd, data, bytes);
  return write_some(meet("write", path_of(fd), 0, bytes), bytes,
                    [&](std::size_t n) { return NEXT(write)(fd, data, n); });
}

ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  return write_some(meet("write", path_of(fd), static_cast<std::uint64_t>(offset), bytes), bytes,
                    [&](std::size_t n) {
                      return n == bytes ? NEXT(pwrite)(fd, data, n, offset) : write_here(fd, data, n, offset);
                    });
}

int fsync(int fd) { return fails(meet("fsync", path_of(fd))) ? -1 : NEXT(fsync)(fd); }

int rename(const char* from, const char* to) noexcept {
  return fails(meet("rename", to)) ? -1 : NEXT(rename)(from, to);
}

int renameat2(int a, const char* from, int b, const char* to, unsigned flags) noexcept {
  return fails(meet("exchange", to)) ? -1 : NEXT(renameat2)(a, from, b, to, flags);
}

int mkdir(const char* path, mode_t mode) noexcept {
  return fails(meet("mkdir", path)) ? -1 : NEXT(mkdir)(path, mode);
}

int unlinkat(int dir, const char* name, int flags) noexcept {
  const std::string path = name[0] == '/' || dir == AT_FDCWD ? name : path_of(dir) + "/" + name;
  return fails(meet("unlink", path)) ? -1 : NEXT(unlinkat)(dir, name, flags);
}
}
