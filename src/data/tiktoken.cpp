#include "data/tiktoken.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <unordered_map>

#include "data/base64.h"
#include "data/bpe_tokenizer.h"
#include "data/json.h"
#include "data/lines.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

struct Special {
  std::string_view text;
  std::int32_t id;
};
struct Encoding {
  std::string_view name;
  std::size_t ranks;  // of the published file
  std::string_view pattern;
  std::vector<Special> special;
};

const std::vector<Encoding>& encodings() {
  static const std::vector<Encoding> known = {
      {"r50k_base", 50256, kGpt2Pattern, {{"<|endoftext|>", 50256}}},
      {"p50k_base", 50280, kGpt2Pattern, {{"<|endoftext|>", 50256}}},
      {"cl100k_base",
       100256,
       kCl100kPattern,
       {{"<|endoftext|>", 100257},
        {"<|fim_prefix|>", 100258},
        {"<|fim_middle|>", 100259},
        {"<|fim_suffix|>", 100260},
        {"<|endofprompt|>", 100276}}},
      {"o200k_base", 199998, kO200kPattern, {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
      {"llama3", 128000, kLlama3Pattern, {{"<|begin_of_text|>", 128000}, {"<|end_of_text|>", 128001}}},
      {"qwen", 151643, kQwen2Pattern, {{"<|endoftext|>", 151643}}},
  };
  return known;
}

const Encoding& encoding_of(std::string_view path, std::size_t ranks) {
  const std::string name = std::filesystem::path(path).filename().string();
  std::string names;
  for (const Encoding& e : encodings()) {
    if (name.rfind(e.name, 0) == 0) return e;
    names += (names.empty() ? "" : ", ") + std::string(e.name);
  }
  for (const Encoding& e : encodings()) {
    if (e.ranks == ranks) return e;
  }
  fail(Exit::Data, "{}: nothing says how its {} tokens split text; let the file's name begin with one of {}",
       path, ranks, names);
}

// A pair merges when the bytes of both are a token, whose id is the rank: ties go to the left.
std::vector<BytePairs::Merge> merges_of(const std::vector<std::string>& tokens) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!tokens[i].empty()) ids.emplace(tokens[i], static_cast<std::int32_t>(i));
  }
  std::vector<BytePairs::Merge> merges;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string_view token = tokens[i];
    for (std::size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = ids.find(token.substr(0, cut)), right = ids.find(token.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      merges.push_back(
          {left->second, right->second, static_cast<std::int32_t>(i), static_cast<std::uint32_t>(i)});
    }
  }
  return merges;
}

std::unique_ptr<Tokenizer> build(std::vector<std::string> tokens, const std::string& pattern,
                                 const std::vector<std::pair<std::string, std::int32_t>>& special,
                                 std::string_view where) {
  nlohmann::ordered_json json;
  json["type"] = "tiktoken";
  json["pattern"] = pattern;
  json["special"] = nlohmann::ordered_json::array();
  json["tokens"] = tokens_to_json(TokenTable(tokens));
  BpeSpec spec;
  spec.type = "tiktoken";
  spec.whole_first = true;
  spec.merges = merges_of(tokens);
  spec.splitter = make_splitter(pattern, where);
  for (const auto& [text, id] : special) {
    json["special"].push_back({text, id});
    const auto i = static_cast<std::size_t>(id);
    if (i >= tokens.size()) tokens.resize(i + 1);
    if (!tokens[i].empty())
      fail(Exit::Data, "{}: the special token {} has the id {} of another", where, text, id);
    tokens[i] = text;
  }
  spec.tokens = std::move(tokens);
  spec.json = json_text(json);
  return make_bpe_tokenizer(std::move(spec));
}

bool read_line(std::string_view line, std::string& token, std::uint32_t& rank) {
  const std::size_t blank = line.find(' ');
  if (blank == std::string_view::npos || !base64_decode(line.substr(0, blank), token) || token.empty())
    return false;
  const std::string_view digits = line.substr(blank + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
  return error == std::errc() && end == digits.data() + digits.size() && rank < 1u << 24;
}

}  // namespace

bool looks_like_tiktoken(std::string_view text) {
  std::string token;
  std::uint32_t rank = 0;
  return read_line(take_line(text), token, rank);
}

std::unique_ptr<Tokenizer> read_tiktoken(std::string_view text, std::string_view path) {
  std::vector<std::string> tokens;
  std::size_t number = 0, count = 0;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    ++number;
    if (line.empty()) continue;
    std::string token;
    std::uint32_t rank = 0;
    if (!read_line(line, token, rank)) fail(Exit::Data, "{}:{}: expected `base64 rank`", path, number);
    if (rank >= tokens.size()) tokens.resize(rank + 1);
    if (!tokens[rank].empty()) fail(Exit::Data, "{}:{}: rank {} is there twice", path, number, rank);
    tokens[rank] = std::move(token);
    ++count;
  }
  const Encoding& encoding = encoding_of(path, count);
  std::vector<std::pair<std::string, std::int32_t>> special;
  if (count == encoding.ranks) {  // of another file that is split alike they would be other tokens
    for (const Special& s : encoding.special) special.emplace_back(s.text, s.id);
  }
  return build(std::move(tokens), std::string(encoding.pattern), special, path);
}

std::unique_ptr<Tokenizer> tiktoken_from_json(const nlohmann::json& json, std::string_view where) {
  try {
    std::vector<std::pair<std::string, std::int32_t>> special;
    for (const auto& entry : json.at("special")) {
      special.emplace_back(entry.at(0).get<std::string>(), entry.at(1).get<std::int32_t>());
      if (special.back().second < 0 || special.back().second >= 1 << 24) {
        fail(Exit::Data, "{}: a special token has the id {}", where, special.back().second);
      }
    }
    return build(tokens_from_json(json.at("tokens"), where), json.at("pattern").get<std::string>(), special,
                 where);
  } catch (const nlohmann::json::exception& e) {
    fail(Exit::Data, "{}: not a tiktoken tokenizer: {}", where, e.what());
  }
}

}  // namespace rt::data
