#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace rt::data {

// A file created for writing; every error is Exit::Data with the path. What is written starts on its way to
// the disk at once, so that sync() has little left to wait for.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path);  // must not exist
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write(const void* bytes, std::size_t n);
  void write_at(std::uint64_t offset, const void* bytes,
                std::size_t n);  // the next write() goes on behind it
  void sync();
  void close();  // durable afterwards

 private:
  [[noreturn]] void refuse(const char* what, int error) const;
  std::string path_;
  int fd_ = -1;
  std::uint64_t at_ = 0, sent_ = 0;  // where the next byte goes, and up to where writing back was started
};

void sync_directory(const std::filesystem::path& dir);
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);  // Exit::Data

// Fault injection for tests: called before every system call that changes what a token directory holds, from
// one thread at a time.
namespace testing {
enum class DiskOp { Write, Sync, Rename };
// Returns an errno, with which the call then fails, or 0. `bytes` of a write may be lowered, as write(2) may.
using DiskHook = std::function<int(DiskOp, const std::filesystem::path&, std::size_t& bytes)>;
void set_disk_hook(DiskHook hook);  // empty: none
}  // namespace testing

}  // namespace rt::data
