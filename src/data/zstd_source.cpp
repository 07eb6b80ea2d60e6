#include <zstd.h>

#include <memory>
#include <new>
#include <vector>

#include "data/byte_source.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

// zstd --long=31, as some published sets are packed. Memory is taken as a file's own header asks for it.
constexpr int kWindowLog = 31;

class ZstdSource final : public ByteSource {
 public:
  explicit ZstdSource(const InputFile& file)
      : file_(file), stream_(::ZSTD_createDStream()), input_(::ZSTD_DStreamInSize()) {
    if (!stream_) throw std::bad_alloc();
    ::ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kWindowLog);
  }

  std::size_t read(char* to, std::size_t n) override {
    ZSTD_outBuffer out{to, n, 0};
    while (out.pos < n) {
      if (in_.pos == in_.size) in_ = {input_.data(), file_.read(input_.data(), input_.size()), 0};
      const bool at_end = in_.size == 0;
      if (at_end && between_ && consumed() > 0) break;
      const std::size_t before = out.pos;
      const std::size_t status = ::ZSTD_decompressStream(stream_.get(), &out, &in_);
      if (::ZSTD_isError(status)) {
        fail(Exit::Data, "{}: corrupt zstd data at byte {}: {}; copy this file again", file_.path(),
             consumed(), ::ZSTD_getErrorName(status));
      }
      between_ = status == 0;
      if (at_end && status != 0 && out.pos == before) {
        fail(Exit::Data, "{}: truncated: the zstd data stops in the middle, at byte {}; copy this file again",
             file_.path(), consumed());
      }
    }
    return out.pos;
  }
  std::uint64_t consumed() const override { return file_.position() - (in_.size - in_.pos); }

 private:
  struct Free {
    void operator()(ZSTD_DStream* stream) const { ::ZSTD_freeDStream(stream); }
  };
  RawFile file_;
  std::unique_ptr<ZSTD_DStream, Free> stream_;
  std::vector<char> input_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool between_ = true;  // frames: what comes next is a header or the end
};

}  // namespace

std::unique_ptr<ByteSource> open_zstd(const InputFile& file) { return std::make_unique<ZstdSource>(file); }

}  // namespace rt::data
