#include "data/byte_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "rt/core/error.h"

namespace rt::data {
namespace {

[[noreturn]] void fail_changed(const std::string& path, std::uint64_t expected) {
  fail(Exit::Data, "{}: is no longer the {} bytes it was at the start; let nothing write to it and try again",
       path, expected);
}

class PlainSource final : public ByteSource {
 public:
  explicit PlainSource(const InputFile& file) : file_(file) {}
  std::size_t read(char* to, std::size_t n) override { return file_.read(to, n); }
  void skip(std::uint64_t n) override { file_.skip(n); }
  std::uint64_t consumed() const override { return file_.position(); }

 private:
  RawFile file_;
};

}  // namespace

RawFile::RawFile(const InputFile& file) : path_(file.path.string()), expected_(file.bytes) {
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail(Exit::Data, "{}: cannot open: {}", path_, std::strerror(errno));
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

RawFile::~RawFile() { ::close(fd_); }

std::size_t RawFile::read(char* to, std::size_t n) {
  std::size_t have = 0;
  while (have < n) {
    const ssize_t got = ::read(fd_, to + have, n - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(Exit::Data, "{}: cannot read at byte {}: {}", path_, at_, std::strerror(errno));
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
    at_ += static_cast<std::uint64_t>(got);
  }
  if (at_ > expected_ || (have < n && at_ != expected_)) fail_changed(path_, expected_);
  return have;
}

void RawFile::skip(std::uint64_t n) {
  if (n > expected_ - at_) fail_changed(path_, expected_);
  at_ += n;
  if (::lseek(fd_, static_cast<off_t>(at_), SEEK_SET) < 0) {
    fail(Exit::Data, "{}: cannot seek to byte {}: {}", path_, at_, std::strerror(errno));
  }
}

void ByteSource::skip(std::uint64_t n) {
  std::vector<char> sink(std::size_t{1} << 18);
  while (n > 0) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(n, sink.size()));
    const std::size_t got = read(sink.data(), part);
    n -= got;
    if (got < part && n > 0) fail(Exit::Data, "input ends {} bytes before the place to go on from", n);
  }
}

std::unique_ptr<ByteSource> open_bytes(const InputFile& file) {
  switch (file.compression) {
    case Compression::Gzip: return open_gzip(file);
    case Compression::Zstd: return open_zstd(file);
    case Compression::None: break;
  }
  return std::make_unique<PlainSource>(file);
}

}  // namespace rt::data
