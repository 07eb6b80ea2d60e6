#include "data/partial_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "data/index_file.h"
#include "data/output_file.h"
#include "rt/core/error.h"

namespace rt::data {
namespace fs = std::filesystem;
namespace {

constexpr char kLockName[] = ".lock";

}  // namespace

fs::path checked_target(const fs::path& dir, bool overwrite) {
  const fs::path target = dir.has_filename() ? dir : dir.parent_path();  // "out/" means "out"
  if (target.empty()) fail(Exit::Config, "the output directory has no name");
  if (!fs::exists(target)) return target;
  if (!fs::is_directory(target)) fail(Exit::Data, "{}: exists and is not a directory", target.string());
  if (fs::is_empty(target)) return target;
  if (!fs::exists(target / kIndexName)) {
    fail(Exit::Data, "{}: is not empty and not a token directory; choose another output", target.string());
  }
  if (!overwrite) {
    fail(Exit::Data, "{}: holds token data already; choose another output or ask to overwrite",
         target.string());
  }
  return target;
}

PartialDir::PartialDir(const fs::path& target) : path_(target.string() + ".partial") {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) fail(Exit::Data, "{}: cannot create directory: {}", path_.string(), error.message());
  lock_ = ::open((path_ / kLockName).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (lock_ < 0)
    fail(Exit::Data, "{}: cannot create the lock file: {}", path_.string(), std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    fail(Exit::Data, "{}: another process is writing here; wait for it or choose another output",
         path_.string());
  }
}

PartialDir::~PartialDir() {
  std::error_code ignored;
  if (!keep_) fs::remove_all(path_, ignored);
  ::close(lock_);
}

void PartialDir::remove_all_but(const std::set<std::string>& names) {
  for (const auto& entry : fs::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    if (name != kLockName && names.count(name) == 0) fs::remove_all(entry.path());
  }
}

void PartialDir::move_to(const fs::path& target, bool replace) {
  fs::remove(path_ / kLockName);
  sync_directory(path_);
  const fs::path old = target.string() + ".old";
  const bool occupied = replace && fs::exists(target / kIndexName);
  if (occupied) {
    fs::remove_all(old);
    rename_file(target, old);
  }
  rename_file(path_, target);
  keep_ = true;  // there is nothing of that name any more
  sync_directory(target.parent_path());
  if (occupied) fs::remove_all(old);
}

}  // namespace rt::data
