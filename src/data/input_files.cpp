#include "data/input_files.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "data/fs_errors.h"
#include "data/hash.h"
#include "rt/core/error.h"

namespace rt::data {
namespace fs = std::filesystem;
namespace {

std::string lower_extension(const fs::path& path) {
  std::string text = path.extension().string();
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

template <std::size_t N>
bool is_one_of(const std::string& ext, const std::array<std::string_view, N>& known) {
  return std::find(known.begin(), known.end(), ext) != known.end();
}

constexpr std::array<std::string_view, 2> kJsonl = {".jsonl", ".ndjson"};
constexpr std::array<std::string_view, 3> kText = {".txt", ".text", ".md"};
// What a name says is no text, though nobody told otherwise.
constexpr std::array<std::string_view, 11> kOther = {".xz", ".bz2", ".lz4", ".tar",     ".tgz",  ".zip",
                                                     ".7z", ".rar", ".pdf", ".parquet", ".arrow"};

Compression compression_of(const std::string& ext) {
  if (ext == ".gz") return Compression::Gzip;
  return ext == ".zst" || ext == ".zstd" ? Compression::Zstd : Compression::None;
}

void add_file(const fs::path& path, bool named, InputFormat format, InputList& list) {
  std::string ext = lower_extension(path);
  const Compression compression = compression_of(ext);
  if (compression != Compression::None) ext = lower_extension(path.stem());
  if (format == InputFormat::Auto) {
    if (named && is_one_of(ext, kOther)) {
      fail(Exit::Data, "{}: {} files are not read; unpack or convert it first, or give the format",
           path.string(), ext);
    }
    if (!named && !is_one_of(ext, kJsonl) && !is_one_of(ext, kText)) {
      ++list.skipped;
      return;
    }
  }
  const bool jsonl = format == InputFormat::Jsonl || (format == InputFormat::Auto && is_one_of(ext, kJsonl));
  const std::uint64_t bytes = fs::file_size(path);
  list.files.push_back({path, jsonl, compression, bytes});
  list.bytes += bytes;
}

void add_directory(const fs::path& dir, InputFormat format, InputList& list) {
  std::vector<fs::path> found;
  for (auto it = fs::recursive_directory_iterator(dir); it != fs::recursive_directory_iterator(); ++it) {
    if (it->path().filename().string()[0] == '.') {
      if (it->is_directory()) it.disable_recursion_pending();
    } else if (it->is_regular_file()) {
      found.push_back(it->path());
    }
  }
  std::sort(found.begin(), found.end(),
            [](const fs::path& a, const fs::path& b) { return a.generic_string() < b.generic_string(); });
  for (const fs::path& path : found) add_file(path, false, format, list);
}

void add_input(const fs::path& input, InputFormat format, InputList& list) {
  if (fs::is_directory(input)) {
    add_directory(input, format, list);
  } else if (fs::is_regular_file(input)) {
    add_file(input, true, format, list);
  } else {
    fail(Exit::Data, "{}: {}", input.string(),
         fs::exists(input) ? "not a file or directory" : "no such file");
  }
}

}  // namespace

std::uint64_t InputList::fingerprint() const {
  std::uint64_t hash = 0;
  for (const InputFile& f : files) {
    const auto changed =
        with_fs_errors([&] { return fs::last_write_time(f.path).time_since_epoch().count(); });
    const std::uint64_t facts[] = {f.jsonl, static_cast<std::uint64_t>(f.compression), f.bytes,
                                   static_cast<std::uint64_t>(changed)};
    hash = xxh3(fs::absolute(f.path).lexically_normal().string(), hash);
    hash = xxh3(facts, sizeof(facts), hash);
  }
  return hash;
}

InputList list_inputs(const std::vector<fs::path>& inputs, InputFormat format) {
  InputList list;
  for (const fs::path& input : inputs) {
    with_fs_errors([&] { add_input(input, format, list); });
  }
  if (list.files.empty()) {
    fail(Exit::Data,
         "no input files: {} inputs, {} files with other endings than .txt .text .md .jsonl .ndjson (and .gz "
         ".zst behind them); name the files or give the format",
         inputs.size(), list.skipped);
  }
  return list;
}

}  // namespace rt::data
