#include "data/token_table.h"

#include <nlohmann/json.hpp>

#include "data/base64.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

constexpr std::size_t kMaxTokens = std::size_t{1} << 24;

}  // namespace

TokenTable::TokenTable(const std::vector<std::string>& tokens) {
  begin_.reserve(tokens.size() + 1);
  for (const std::string& token : tokens) {
    begin_.push_back(static_cast<std::uint32_t>(text_.size()));
    text_ += token;
  }
  begin_.push_back(static_cast<std::uint32_t>(text_.size()));
}

nlohmann::ordered_json tokens_to_json(const TokenTable& tokens) {
  auto json = nlohmann::ordered_json::array();
  std::int64_t missing = 0;
  for (std::int64_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty()) {
      ++missing;
      continue;
    }
    if (missing > 0) json.push_back(missing);
    missing = 0;
    json.push_back(base64_encode(tokens[id]));
  }
  if (missing > 0) json.push_back(missing);
  return json;
}

std::vector<std::string> tokens_from_json(const nlohmann::json& json, std::string_view where) {
  if (!json.is_array()) fail(Exit::Data, "{}: \"tokens\" is missing or no array", where);
  std::vector<std::string> tokens;
  for (const auto& entry : json) {
    if (entry.is_number_unsigned() && entry.get<std::uint64_t>() <= kMaxTokens) {
      tokens.resize(tokens.size() + entry.get<std::size_t>());
    } else {
      tokens.emplace_back();
      if (!entry.is_string() || !base64_decode(entry.get_ref<const std::string&>(), tokens.back()) ||
          tokens.back().empty()) {
        fail(Exit::Data, "{}: token {} is neither base64 nor a number of missing ids", where,
             tokens.size() - 1);
      }
    }
    if (tokens.size() > kMaxTokens) fail(Exit::Data, "{}: more than {} tokens", where, kMaxTokens);
  }
  return tokens;
}

void fail_token_id(std::int64_t id, std::int64_t vocab, std::string_view type) {
  fail(Exit::Data, "token id {} is outside the vocabulary of {} ({} tokenizer)", id, vocab, type);
}

}  // namespace rt::data
