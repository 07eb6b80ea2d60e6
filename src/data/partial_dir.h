#pragma once
#include <filesystem>
#include <set>
#include <string>

namespace rt::data {

// Where a token directory may be written: `dir` without a trailing slash, absent, empty, or a token directory
// that may be replaced. Exit::Data otherwise.
std::filesystem::path checked_target(const std::filesystem::path& dir, bool overwrite);

// Owns `<target>.partial` while it lives. The lock dies with the process, so a killed run never blocks the
// next. Errors: Exit::Data.
class PartialDir {
 public:
  explicit PartialDir(const std::filesystem::path& target);
  ~PartialDir();  // removes it with all it holds, unless keep() was called or it has moved
  PartialDir(const PartialDir&) = delete;
  PartialDir& operator=(const PartialDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void keep() { keep_ = true; }
  void remove_all_but(const std::set<std::string>& names);  // and the lock
  // Becomes `target`, by one rename.
  void move_to(const std::filesystem::path& target, bool replace);

 private:
  std::filesystem::path path_;
  int lock_ = -1;
  bool keep_ = false;
};

}  // namespace rt::data
