#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "io/pages.h"
#include "io/sys.h"
#include "rt/core/error.h"
#include "rt/io/file.h"

namespace rt::io {
namespace fs = std::filesystem;

struct SharedFileWriter::State {
  explicit State(const fs::path& path) : fd(sys::open_to_share(path)), direct(sys::open_direct(path)) {}
  ~State() {
    if (fd >= 0) ::close(fd);
    if (direct >= 0) ::close(direct);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  int fd, direct;  // direct: -1 where the file system has no such writes
  // A run of bytes of the file, which begins `skipped` bytes into a page of it and into the memory. Other
  // processes may be writing the rest of its first and its last page.
  static constexpr std::size_t kRoom = kDigestBlockBytes;
  Pages memory = allocate_pages(kRoom);
  std::uint64_t begin = 0;
  std::size_t skipped = 0, size = 0;
};

SharedFileWriter::SharedFileWriter(fs::path path)
    : path_(std::move(path)), state_(std::make_unique<State>(path_)) {}

SharedFileWriter::~SharedFileWriter() = default;

void SharedFileWriter::flush() {
  State& s = *state_;
  const auto put = [&](int fd, std::size_t from, std::size_t to) {
    sys::write_at(fd, path_, s.memory.get() + from, to - from, s.begin - s.skipped + from);
  };
  const std::size_t page = page_bytes(), end = s.skipped + s.size;
  const std::size_t first = s.skipped == 0 ? 0 : std::min(page, end);  // where whole pages begin
  const std::size_t last = std::max(first, end / page * page);         // and end
  put(s.fd, s.skipped, first);
  put(s.direct >= 0 ? s.direct : s.fd, first, last);
  put(s.fd, last, end);
  s.size = 0;
}

void SharedFileWriter::write(std::uint64_t offset, const void* data, std::size_t bytes) {
  RT_CHECK(state_ != nullptr, "{}: written to after finish()", path_.string());
  State& s = *state_;
  const auto* from = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    if (s.size > 0 && offset != s.begin + s.size) flush();
    if (s.size == 0) {
      s.begin = offset;
      s.skipped = offset % page_bytes();
    }
    const std::size_t n = std::min(bytes, State::kRoom - s.skipped - s.size);
    pieces_.push_back({offset, offset + n, xxh3({from, n})});
    std::memcpy(s.memory.get() + s.skipped + s.size, from, n);
    s.size += n;
    if (s.skipped + s.size == State::kRoom) flush();
    from += n;
    offset += n;
    bytes -= n;
  }
}

std::vector<FilePiece> SharedFileWriter::finish() {
  RT_CHECK(state_ != nullptr, "{}: finished twice", path_.string());
  flush();
  sys::sync(state_->fd, path_);
  sys::close(std::exchange(state_->fd, -1), path_);
  state_.reset();
  return std::move(pieces_);
}

FileDigest digest_of(std::vector<FilePiece> pieces, std::uint64_t size, const fs::path& path) {
  std::sort(pieces.begin(), pieces.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
  FileDigest digest{.size = size, .xxh3 = 0, .blocks = {}};
  std::uint64_t at = 0;
  for (const FilePiece& piece : pieces) {
    if (piece.begin != at) break;
    digest.blocks.push_back(piece.xxh3);
    digest.ends.push_back(at = piece.end);
  }
  if (at != size || digest.ends.size() != pieces.size()) {
    fail(Exit::Checkpoint, "{}: the processes of this run did not write each of its {} bytes once (byte {})",
         path.string(), size, at);
  }
  digest.xxh3 = xxh3(std::as_bytes(std::span(digest.blocks)));
  return digest;
}

}  // namespace rt::io
