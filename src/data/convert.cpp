#include "rt/data/convert.h"

#include <algorithm>
#include <limits>

#include "data/fs_errors.h"
#include "data/megatron.h"
#include "data/output_file.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t kPiece = 1 << 16;  // tokens in memory at a time
constexpr std::uint64_t kReport = 1'000'000;

// Calls take(ids) with tokens [begin, end) of the source, a piece at a time.
template <class F>
void each_piece(const TokenSource& source, std::uint64_t begin, std::uint64_t end, const F& take) {
  std::vector<std::int32_t> ids;
  for (std::uint64_t at = begin; at < end; at += ids.size()) {
    ids.resize(static_cast<std::size_t>(std::min(kPiece, end - at)));
    source.read(at, ids.size(), ids.data());
    take(std::span<const std::int32_t>(ids));
  }
}

// Calls `progress` when a million tokens more are done.
class Progress {
 public:
  explicit Progress(const TokensDone& call) : call_(call) {}
  void add(std::uint64_t n) {
    done_ += n;
    if (call_ && done_ - reported_ >= kReport) call_(reported_ = done_);
  }

 private:
  const TokensDone& call_;
  std::uint64_t done_ = 0, reported_ = 0;
};

template <class T>
void put(OutputFile& file, T value) {
  file.write(&value, sizeof(value));
}

// What the index says beside the header; where sequences begin follows from their lengths.
struct Lists {
  std::vector<std::int32_t> lengths;
  std::vector<std::int64_t> documents;

  void add_document(std::uint64_t tokens) {
    constexpr std::uint64_t kMost = std::numeric_limits<std::int32_t>::max();
    documents.push_back(static_cast<std::int64_t>(lengths.size()));
    do {
      const std::uint64_t here = std::min(kMost, tokens);
      lengths.push_back(static_cast<std::int32_t>(here));
      tokens -= here;
    } while (tokens > 0);
  }
  void write(const fs::path& path, bool wide) const {
    std::vector<std::int64_t> begins;
    std::int64_t at = 0;
    for (const std::int32_t n : lengths) {
      begins.push_back(at);
      at += std::int64_t{n} * (wide ? 4 : 2);
    }
    OutputFile file(path);
    file.write(kMegatronMagic, sizeof(kMegatronMagic));
    put(file, kMegatronVersion);
    put(file, static_cast<std::uint8_t>(wide ? 4 : 8));  // i32, u16
    put(file, std::uint64_t{lengths.size()});
    put(file, std::uint64_t{documents.size() + 1});
    file.write(lengths.data(), 4 * lengths.size());
    file.write(begins.data(), 8 * begins.size());
    file.write(documents.data(), 8 * documents.size());
    put(file, static_cast<std::int64_t>(lengths.size()));
    file.close();
  }
};

Lists write_bin(const StoredTokens& source, const fs::path& path, bool wide, const TokensDone& done) {
  Lists lists;
  Progress progress(done);
  OutputFile file(path);
  std::vector<std::uint16_t> narrow;
  for (std::uint64_t d = 0; d < source.documents(); ++d) {
    std::uint64_t begin = 0, end = 0;
    source.document(d, begin, end);
    lists.add_document(end - begin);
    each_piece(source, begin, end, [&](std::span<const std::int32_t> ids) {
      progress.add(ids.size());
      if (wide) return file.write(ids.data(), ids.size_bytes());
      narrow.assign(ids.begin(), ids.end());
      file.write(narrow.data(), 2 * narrow.size());
    });
  }
  file.close();
  return lists;
}

}  // namespace

void append_documents(const StoredTokens& source, std::uint64_t first, std::uint64_t last, TokenSetWriter& to,
                      const TokensDone& done) {
  Progress progress(done);
  for (std::uint64_t d = first; d < last; ++d) {
    std::uint64_t begin = 0, end = 0;
    source.document(d, begin, end);
    to.begin_document();
    each_piece(source, begin, end, [&](std::span<const std::int32_t> ids) {
      to.append(ids);
      progress.add(ids.size());
    });
  }
}

void write_megatron(const StoredTokens& source, const fs::path& stem, bool overwrite,
                    const TokensDone& done) {
  if (!stem.has_filename()) fail(Exit::Config, "{}: name the files to write, without .bin", stem.string());
  const fs::path bin = stem.string() + ".bin", idx = stem.string() + ".idx";
  const fs::path bin_partial = bin.string() + ".partial", idx_partial = idx.string() + ".partial";
  with_fs_errors([&] {
    for (const fs::path& file : {bin, idx}) {
      if (fs::exists(file) && !overwrite) {
        fail(Exit::Data, "{}: exists; choose another output or ask to overwrite", file.string());
      }
    }
    if (stem.has_parent_path()) fs::create_directories(stem.parent_path());
    fs::remove(bin_partial);  // what a killed run left
    fs::remove(idx_partial);
    try {
      const bool wide = source.vocab_size() > 65536;
      write_bin(source, bin_partial, wide, done).write(idx_partial, wide);
      fs::remove(idx);
      fs::rename(bin_partial, bin);
      fs::rename(idx_partial, idx);
      sync_directory(stem.parent_path());
    } catch (...) {
      std::error_code ignored;
      fs::remove(bin_partial, ignored);
      fs::remove(idx_partial, ignored);
      throw;
    }
  });
}

}  // namespace rt::data
