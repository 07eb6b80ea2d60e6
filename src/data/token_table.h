#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rt::data {

// The bytes of each id of a vocabulary. Ids may be missing: they stand for no text.
class TokenTable {
 public:
  // `tokens[id]`; an empty string is a missing id.
  explicit TokenTable(const std::vector<std::string>& tokens);

  std::int64_t size() const { return static_cast<std::int64_t>(begin_.size()) - 1; }
  std::string_view operator[](std::int64_t id) const {  // id in [0, size())
    const auto i = static_cast<std::size_t>(id);
    return std::string_view(text_).substr(begin_[i], begin_[i + 1] - begin_[i]);
  }

 private:
  std::string text_;
  std::vector<std::uint32_t> begin_;  // (size + 1) offsets into text_
};

// As a JSON array in the order of ids: each token in base64, n for n missing ids.
nlohmann::ordered_json tokens_to_json(const TokenTable& tokens);
// The inverse. Exit::Data, beginning with `where`.
std::vector<std::string> tokens_from_json(const nlohmann::json& json, std::string_view where);

// The shared half of the error for an id outside [0, vocab).
[[noreturn]] void fail_token_id(std::int64_t id, std::int64_t vocab, std::string_view type);

}  // namespace rt::data
