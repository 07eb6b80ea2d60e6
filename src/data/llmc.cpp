#include "data/llmc.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <mutex>

#include "data/hash.h"
#include "data/parts.h"
#include "rt/core/error.h"
#include "rt/core/mapped_file.h"

namespace rt::data {
namespace {

using Header = std::array<std::int32_t, kLlmcHeader / 4>;
constexpr std::string_view kLlmqMagic = "BIN.TOK\n";

bool is_llmq(const Header& header) {
  return std::memcmp(header.data(), kLlmqMagic.data(), kLlmqMagic.size()) == 0;
}

// -1: unknown, because the vocabulary is neither that of GPT-2 (also padded to 50304) nor of Llama 3.
std::int32_t end_of_text(std::int64_t vocab) {
  if (vocab >= 50257 && vocab <= 50304) return 50256;
  return vocab == 128256 ? 128000 : -1;
}

}  // namespace

struct LlmcTokens::File {
  explicit File(const std::filesystem::path& file) : path(file.string()), map(file, Exit::Data) {}

  void open();
  void list_starts(std::int32_t delimiter, bool first);

  std::string path;
  MappedFile map;
  TokenArray tokens;
  bool llmq = false;
  std::once_flag listed;
  std::vector<std::uint64_t> starts;
};

void LlmcTokens::File::open() {
  if (map.size() < kLlmcHeader) {
    fail(Exit::Data, "{}: truncated: {} bytes are less than the header of {}; copy this file again", path,
         map.size(), kLlmcHeader);
  }
  Header header;
  std::memcpy(header.data(), map.data(), kLlmcHeader);
  llmq = is_llmq(header);
  const bool known = llmq ? (header[2] == 1 || header[2] == 2) && header[3] == 4
                          : header[1] == (header[0] == kLlmcGpt2 ? 1 : 7);
  if (!known) {
    fail(Exit::Data, "{}: version {} in its header, bytes {}, is not supported", path, header[llmq ? 2 : 1],
         llmq ? "8..15" : "4..7");
  }
  tokens.data = map.data() + kLlmcHeader;
  tokens.type = llmq ? TokenType::I32 : header[0] == kLlmcGpt2 ? TokenType::U16 : TokenType::U32;
  tokens.size = static_cast<std::uint32_t>(header[llmq ? 4 : 2]);
  const std::uint64_t promised = kLlmcHeader + token_width(tokens.type) * tokens.size;
  // llmq writes masks after the tokens.
  if (map.size() < promised || (map.size() > promised && !llmq)) {
    fail(Exit::Data,
         "{}: {}: the header promises {} bytes for {} tokens, the file has {}; copy this file again", path,
         map.size() < promised ? "truncated" : "wrong size", promised, tokens.size, map.size());
  }
}

void LlmcTokens::File::list_starts(std::int32_t delimiter, bool first) {
  if (delimiter < 0) {
    starts.push_back(0);
    return;
  }
  starts = tokens.positions_of(delimiter);
  if (first && tokens.at(0) != delimiter) starts.insert(starts.begin(), 0);
}

bool is_llmc_file(const std::filesystem::path& path) {
  Header header{};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(header.data()), kLlmqMagic.size())) return false;
  return header[0] == kLlmcGpt2 || header[0] == kLlmcLlama3 || is_llmq(header);
}

LlmcTokens::LlmcTokens(std::string name, const std::vector<std::filesystem::path>& files,
                       const Tokenizer& tokenizer)
    : name_(std::move(name)), tokenizer_(&tokenizer) {
  RT_CHECK(!files.empty(), "{}: no files", name_);
  fingerprint_ = tokenizer.fingerprint();
  for (const auto& path : files) {
    files_.push_back(std::make_unique<File>(path));
    File& file = *files_.back();
    file.open();
    begin_.push_back(begin_.back() + file.tokens.size);
    fingerprint_ = xxh3(&fingerprint_, sizeof(fingerprint_), sampled_hash(file.map.data(), file.map.size()));
    if (file.tokens.size == 0) fail(Exit::Data, "{}: empty: it holds no tokens", file.path);
  }
  kind_ = files_.front()->llmq ? "llmq" : "llm.c";
}

LlmcTokens::~LlmcTokens() = default;

const std::vector<std::uint64_t>& LlmcTokens::starts(std::size_t i) const {
  File& file = *files_[i];
  std::call_once(file.listed, [&] { file.list_starts(end_of_text(vocab_size()), i == 0); });
  return file.starts;
}

void LlmcTokens::read(std::uint64_t offset, std::size_t n, std::int32_t* out) const {
  RT_CHECK(offset <= size() && n <= size() - offset, "{}: tokens [{}, {} + {}) asked of {}", name_, offset,
           offset, n, size());
  for_each_part(begin_, offset, n, [&](std::size_t i, std::uint64_t first, std::size_t count) {
    files_[i]->tokens.read(first, count, vocab_size(), out, files_[i]->path, kForeignAdvice);
    out += count;
  });
}

std::uint64_t LlmcTokens::next_document(std::uint64_t from) const {
  if (from == 0 || from >= size()) return std::min(from, size());
  for (std::size_t i = part_at(begin_, from); i < files_.size(); ++i) {
    const std::vector<std::uint64_t>& list = starts(i);
    const auto found = std::lower_bound(list.begin(), list.end(), std::max(from, begin_[i]) - begin_[i]);
    if (found != list.end()) return begin_[i] + *found;
  }
  return size();
}

std::uint64_t LlmcTokens::previous_document(std::uint64_t at) const {
  at = std::min(at, size() - 1);
  for (std::size_t i = part_at(begin_, at) + 1; i-- > 0;) {
    const std::vector<std::uint64_t>& list = starts(i);
    const auto after = std::upper_bound(list.begin(), list.end(), at - begin_[i]);
    if (after != list.begin()) return begin_[i] + after[-1];
    if (i > 0) at = begin_[i] - 1;
  }
  return 0;
}

std::uint64_t LlmcTokens::bytes() const {
  std::uint64_t total = 0;
  for (const auto& file : files_) total += file->map.size();
  return total;
}

std::vector<StoredFile> LlmcTokens::files() const {
  std::vector<StoredFile> all;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    const File& file = *files_[i];
    all.push_back(
        {file.path, file.tokens.size, starts(i).size(), token_width(file.tokens.type), file.map.size()});
  }
  return all;
}

std::uint64_t LlmcTokens::documents() const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < files_.size(); ++i) total += starts(i).size();
  return total;
}

void LlmcTokens::document(std::uint64_t index, std::uint64_t& begin, std::uint64_t& end) const {
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    const std::vector<std::uint64_t>& list = starts(i);
    if (index - before < list.size()) {
      begin = begin_[i] + list[static_cast<std::size_t>(index - before)];
      end = next_document(begin + 1);
      return;
    }
    before += list.size();
  }
  fail(Exit::Data, "{}: document {} of {}", name_, index, before);
}

std::vector<Damage> LlmcTokens::damage(
    const std::function<void(std::uint64_t, std::uint64_t)>& progress) const {
  const std::uint64_t total = bytes();
  std::uint64_t done = 0;
  std::vector<Damage> found;
  for (const auto& file : files_) {
    const auto report = [&](std::uint64_t here) {
      if (progress) progress(done + here, total);
    };
    scan_foreign(file->tokens, vocab_size(), kLlmcHeader, file->path, report, found);
    done += file->map.size();
  }
  return found;
}

}  // namespace rt::data
