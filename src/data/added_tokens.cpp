#include "data/added_tokens.h"

#include <algorithm>

#include "data/unicode.h"

namespace rt::data {
namespace {

bool has_class(std::string_view text, std::size_t at, bool (CharClasses::*test)(char32_t) const) {
  const Utf8Step step = utf8_step(text, at);
  return step.state == Utf8State::Valid && (CharClasses::get().*test)(step.code);
}

std::size_t begin_of_space(std::string_view text) {  // that `text` ends in
  while (!text.empty() && has_class(text, utf8_last(text), &CharClasses::is_space)) {
    text = text.substr(0, utf8_last(text));
  }
  return text.size();
}

std::size_t end_of_space(std::string_view text, std::size_t at) {
  while (at < text.size() && has_class(text, at, &CharClasses::is_space)) at += utf8_step(text, at).length;
  return at;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::vector<std::pair<std::string_view, std::int32_t>> strings;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& content = tokens_[i].content;
    strings.emplace_back(content, static_cast<std::int32_t>(i));
    const auto first = static_cast<unsigned char>(content[0]);
    first_[first] = true;
    if (content.size() == 1) {
      second_[first].set();
    } else {
      second_[first].set(static_cast<unsigned char>(content[1]));
    }
    longest_ = std::max(longest_, content.size());
    any_single_word_ = any_single_word_ || tokens_[i].single_word;
  }
  if (!strings.empty()) trie_ = std::make_unique<ByteTrie>(std::move(strings));
}

bool AddedTokens::stands_alone(std::string_view text, std::size_t begin, std::size_t end) const {
  const bool before = begin > 0 && has_class(text, utf8_last(text.substr(0, begin)), &CharClasses::is_word);
  return !before && (end == text.size() || !has_class(text, end, &CharClasses::is_word));
}

// The next place from `at` on where a token may begin; text.size() when there is none.
std::size_t AddedTokens::candidate(std::string_view text, std::size_t at) const {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (!trie_ || at == text.size()) return text.size();
  // Two bytes decide: a blank begins tokens of many vocabularies, but only with another one behind it.
  while (at + 1 < text.size() && !second_[byte(at)][byte(at + 1)]) ++at;
  return at + 1 < text.size() || first_[byte(at)] ? at : text.size();
}

void AddedTokens::split(std::string_view text, std::vector<Piece>& out) const {
  std::size_t done = 0;
  for (std::size_t at = candidate(text, 0); at < text.size(); at = candidate(text, at)) {
    const ByteTrie::Match match = trie_->longest(text.substr(at));
    if (match.id < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(match.id)];
    std::size_t begin = at, end = at + match.length;
    at = end;  // also of a token that is passed over: the search goes on behind it
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(done, begin_of_space(text.substr(0, begin)));
    if (token.rstrip) end = end_of_space(text, end);
    if (done < begin) out.push_back({text.substr(done, begin - done), -1});
    out.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) out.push_back({text.substr(done), -1});
}

bool AddedTokens::may_span(std::string_view left, char next) const {
  if (!trie_) return false;
  if (any_single_word_ && first_[static_cast<unsigned char>(next)]) return true;
  for (std::size_t length = 1; length <= std::min(longest_, left.size()); ++length) {
    const std::string_view tail = left.substr(left.size() - length);
    if (!first_[static_cast<unsigned char>(tail[0])]) continue;
    const ByteTrie::Match match = trie_->longest(tail);
    if (match.open) return true;
    if (match.id < 0 || match.length < length) continue;
    const AddedToken& token = tokens_[static_cast<std::size_t>(match.id)];
    if (token.rstrip || token.single_word) return true;
  }
  return false;
}

}  // namespace rt::data
