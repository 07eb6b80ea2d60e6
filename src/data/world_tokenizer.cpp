#include "data/world_tokenizer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "data/byte_trie.h"
#include "data/json.h"
#include "data/lines.h"
#include "data/python_literal.h"
#include "data/token_table.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

constexpr std::int64_t kVocabUnit = 64;

ByteTrie trie_of(const TokenTable& tokens) {
  std::vector<std::pair<std::string_view, std::int32_t>> strings;
  for (std::int64_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) strings.emplace_back(tokens[id], static_cast<std::int32_t>(id));
  }
  return ByteTrie(std::move(strings));
}

class WorldTokenizer final : public Tokenizer {
 public:
  explicit WorldTokenizer(const std::vector<std::string>& tokens)
      : tokens_(tokens),
        trie_(trie_of(tokens_)),
        vocab_((tokens_.size() + kVocabUnit - 1) / kVocabUnit * kVocabUnit) {}

  std::string_view type() const override { return "rwkv_world"; }
  std::int64_t vocab_size() const override { return vocab_; }
  std::string to_json() const override {
    nlohmann::ordered_json json;
    json["type"] = "rwkv_world";
    json["tokens"] = tokens_to_json(tokens_);
    return json_text(json);
  }

  std::size_t encode_some(std::string_view text, bool last, std::uint64_t,
                          std::vector<std::int32_t>& out) const override {
    std::array<std::int32_t, 1024> ids;  // spares `out` the test for room at each token
    std::size_t at = 0, n = 0;
    while (at < text.size()) {
      const ByteTrie::Match match = trie_.longest(text.substr(at));
      if (match.open && !last) break;
      ids[n++] = match.id;
      at += match.length;
      if (n < ids.size()) continue;
      out.insert(out.end(), ids.begin(), ids.end());
      n = 0;
    }
    out.insert(out.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n));
    return at;
  }

  std::string_view decode_bytes(std::int32_t id) const override {
    if (id < 0 || id >= vocab_) fail_token_id(id, vocab_, type());
    return id < tokens_.size() ? tokens_[id] : std::string_view();
  }

 private:
  TokenTable tokens_;
  ByteTrie trie_;
  std::int64_t vocab_;
};

// Every text can be encoded when the single bytes are there, and only one way when no token is there twice.
std::unique_ptr<Tokenizer> checked(const std::vector<std::string>& tokens, std::string_view where) {
  if (!tokens.empty() && !tokens[0].empty()) {
    fail(Exit::Data, "{}: id 0 is a token, but it must stand for the end of a document", where);
  }
  std::vector<std::string_view> sorted;
  std::array<bool, 256> single{};
  for (const std::string& token : tokens) {
    if (token.size() == 1) single[static_cast<unsigned char>(token[0])] = true;
    if (!token.empty()) sorted.push_back(token);
  }
  for (std::size_t byte = 0; byte < single.size(); ++byte) {
    if (!single[byte]) {
      fail(Exit::Data,
           "{}: the byte {} is no token, so that not every text could be encoded; the file is cut", where,
           byte);
    }
  }
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) {
    fail(Exit::Data, "{}: the token {} has two ids", where,
         json_text(nlohmann::json(*twice), -1, BadUtf8::Replace, true));
  }
  return std::make_unique<WorldTokenizer>(tokens);
}

bool read_number(std::string_view text, std::uint32_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

void read_line(std::string_view line, std::vector<std::string>& tokens, const std::string& where) {
  const std::size_t first = line.find(' '), last = line.rfind(' ');
  std::uint32_t id = 0, length = 0;
  if (first == std::string_view::npos || first == last || !read_number(line.substr(0, first), id) ||
      !read_number(line.substr(last + 1), length)) {
    fail(Exit::Data, "{}: expected `id literal length`, as in rwkv_vocab_v20230424.txt", where);
  }
  std::string token;
  const std::string_view literal = line.substr(first + 1, last - first - 1);
  if (!read_python_literal(literal, token)) fail(Exit::Data, "{}: {} {}", where, literal, token);
  if (token.size() != length || token.empty()) {
    fail(Exit::Data, "{}: the token has {} bytes, the line says {}", where, token.size(), length);
  }
  if (id >= 1u << 24) fail(Exit::Data, "{}: id {} is too large", where, id);
  if (id < tokens.size()) fail(Exit::Data, "{}: id {} comes after id {}", where, id, tokens.size() - 1);
  tokens.resize(id);
  tokens.push_back(std::move(token));
}

}  // namespace

std::unique_ptr<Tokenizer> read_world_vocabulary(std::string_view text, std::string_view path) {
  std::vector<std::string> tokens(1);
  std::size_t number = 0;
  while (!text.empty()) read_line(take_line(text), tokens, format("{}:{}", path, ++number));
  return checked(tokens, path);
}

std::unique_ptr<Tokenizer> world_from_json(const nlohmann::json& json, std::string_view where) {
  const auto tokens = json.find("tokens");
  return checked(tokens_from_json(tokens == json.end() ? nlohmann::json() : *tokens, where), where);
}

}  // namespace rt::data
