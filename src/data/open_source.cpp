#include "rt/data/open_source.h"

#include <fnmatch.h>

#include <algorithm>

#include "data/fs_errors.h"
#include "data/index_file.h"
#include "data/llmc.h"
#include "data/megatron.h"
#include "rt/core/error.h"
#include "rt/data/token_set.h"

namespace rt::data {
namespace {

namespace fs = std::filesystem;

const Tokenizer& needed(const Tokenizer* tokenizer, const fs::path& path) {
  if (!tokenizer) {
    fail(Exit::Config,
         "{}: this format carries no tokenizer; name the one it was made with (`tokenizer` in a config, "
         "--tokenizer on a command line)",
         path.string());
  }
  return *tokenizer;
}

// X of X.bin, X.idx or X where X.idx is an index; empty when it is not.
fs::path megatron_stem(const fs::path& path) {
  const fs::path extension = path.extension();
  fs::path stem = path;
  if (extension == ".bin" || extension == ".idx") stem.replace_extension();
  return is_megatron_index(stem.string() + ".idx") ? stem : fs::path();
}

// The names in `dir` that `pattern` fits, in byte order.
std::vector<fs::path> matching(const fs::path& dir, const std::string& pattern) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(dir.empty() ? "." : dir)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && ::fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD) == 0) {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<fs::path> llmc_files(const fs::path& path) {
  std::vector<fs::path> files{path};
  const bool directory = fs::is_directory(path);
  if (directory) files = matching(path, "*.bin");
  if (!directory && !fs::exists(path) && path.filename().string().find_first_of("*?[") != std::string::npos &&
      fs::is_directory(path.has_parent_path() ? path.parent_path() : fs::path("."))) {
    files = matching(path.parent_path(), path.filename().string());
  }
  const auto fits = [](const fs::path& file) { return is_llmc_file(file); };
  if (files.empty() || !fits(files.front())) return {};
  for (const fs::path& file : files) {
    if (!fits(file)) {
      fail(Exit::Data, "{}: is no llm.c token file, bytes 0..7 are not its signature, as those of {} are",
           file.string(), files.front().string());
    }
  }
  return files;
}

}  // namespace

std::unique_ptr<StoredTokens> open_foreign(const fs::path& path, const Tokenizer* tokenizer) {
  return with_fs_errors([&]() -> std::unique_ptr<StoredTokens> {
    if (fs::exists(path / kIndexName)) return nullptr;
    const fs::path stem = megatron_stem(path);
    if (!stem.empty()) return std::make_unique<MegatronTokens>(stem, needed(tokenizer, path));
    const std::vector<fs::path> files = llmc_files(path);
    if (!files.empty()) {
      return std::make_unique<LlmcTokens>(path.string(), files, needed(tokenizer, path));
    }
    if (fs::is_regular_file(path) && (path.extension() == ".bin" || path.extension() == ".idx")) {
      fail(Exit::Data,
           "{}: no token data this program reads: its first bytes are neither those of llm.c (20240520, "
           "20240801) nor llmq, and no .idx beside it begins with MMIDIDX",
           path.string());
    }
    return nullptr;
  });
}

bool is_foreign(const fs::path& path) {
  return with_fs_errors([&] {
    if (fs::exists(path / kIndexName)) return false;
    return !megatron_stem(path).empty() || !llmc_files(path).empty();
  });
}

std::unique_ptr<StoredTokens> open_source(const fs::path& path, const Tokenizer* tokenizer) {
  if (fs::exists(path / kIndexName)) return std::make_unique<TokenSet>(path);
  return open_foreign(path, tokenizer);
}

}  // namespace rt::data
