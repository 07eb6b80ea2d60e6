#include "rt/core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace rt {

MappedFile::MappedFile(const std::filesystem::path& path, Exit code) {
  const auto refuse = [&](const char* what, int error) {
    fail(code, "{}: {}: {}", path.string(), what, std::generic_category().message(error));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) refuse("cannot open", errno);
  struct stat info {};
  int error = ::fstat(fd, &info) < 0 ? errno : 0;
  const bool regular = error == 0 && S_ISREG(info.st_mode);
  if (regular && info.st_size > 0) {
    size_ = static_cast<std::size_t>(info.st_size);
    void* at = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
      error = errno;
    } else {
      data_ = static_cast<const std::byte*>(at);
    }
  }
  ::close(fd);
  if (error != 0) refuse("cannot map", error);
  if (!regular) fail(code, "{}: not a file. Name the file inside it.", path.string());
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

}  // namespace rt
