#include <zlib.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "data/byte_source.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

constexpr std::size_t kInput = std::size_t{1} << 17;
constexpr int kGzipOnly = 16;  // added to windowBits: a gzip header is required

class GzipSource final : public ByteSource {
 public:
  explicit GzipSource(const InputFile& file) : file_(file), input_(kInput) {
    if (::inflateInit2(&stream_, MAX_WBITS + kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~GzipSource() override { ::inflateEnd(&stream_); }

  std::size_t read(char* to, std::size_t n) override {
    std::size_t have = 0;
    while (have < n) {
      if (stream_.avail_in == 0) fill();
      if (between_ && !begin_member()) break;
      if (stream_.avail_in == 0) {
        fail(Exit::Data, "{}: truncated: the gzip data stops in the middle, at byte {}; copy this file again",
             file_.path(), consumed());
      }
      have += inflate_some(to + have, n - have);
    }
    return have;
  }
  std::uint64_t consumed() const override { return file_.position() - stream_.avail_in; }

 private:
  void fill() {
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(file_.read(input_.data(), input_.size()));
  }

  // False at the end of the file. As gzip does: members may follow each other, zeros (a tape's padding) end
  // it.
  bool begin_member() {
    if (members_ > 0) {
      while (stream_.avail_in > 0 && *stream_.next_in == 0) {
        ++stream_.next_in;
        if (--stream_.avail_in == 0) fill();
      }
    }
    if (stream_.avail_in == 0 && members_ > 0) return false;
    ::inflateReset(&stream_);
    between_ = false;
    ++members_;
    return true;
  }

  std::size_t inflate_some(char* to, std::size_t n) {
    const auto room = static_cast<uInt>(std::min<std::size_t>(n, std::numeric_limits<uInt>::max()));
    stream_.next_out = reinterpret_cast<Bytef*>(to);
    stream_.avail_out = room;
    const int status = ::inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status == Z_STREAM_END) between_ = true;
    if (status != Z_STREAM_END && status != Z_OK && status != Z_BUF_ERROR) {
      fail(Exit::Data, "{}: corrupt gzip data at byte {}: {}; copy this file again", file_.path(), consumed(),
           stream_.msg != nullptr ? stream_.msg : "it needs a dictionary");
    }
    return room - stream_.avail_out;
  }

  RawFile file_;
  std::vector<char> input_;
  z_stream stream_{};
  std::uint64_t members_ = 0;
  bool between_ = true;  // members: what comes next is a header or the end
};

}  // namespace

std::unique_ptr<ByteSource> open_gzip(const InputFile& file) { return std::make_unique<GzipSource>(file); }

}  // namespace rt::data
