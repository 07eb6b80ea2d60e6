#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "io/sys.h"
#include "rt/core/error.h"

namespace rt::io {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) sys::fail_errno(path, "cannot open", errno);
  struct stat info {};
  int error = ::fstat(fd, &info) < 0 ? errno : 0;
  const bool regular = error == 0 && S_ISREG(info.st_mode);
  if (regular && info.st_size > 0) {
    size_ = static_cast<std::size_t>(info.st_size);
    void* at = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) {
      error = errno;
    } else {
      data_ = static_cast<const std::byte*>(at);
    }
  }
  ::close(fd);
  if (error != 0) sys::fail_errno(path, "cannot map", error);
  if (!regular) fail(Exit::Checkpoint, "{}: not a file. Name the tensor file inside it.", path.string());
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

}  // namespace rt::io
