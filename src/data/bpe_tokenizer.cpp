#include "data/bpe_tokenizer.h"

#include <algorithm>

#include "data/unicode.h"
#include "data/windows.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

std::vector<AddedToken> those(const std::vector<AddedToken>& all, bool normalized, bool nfc_content) {
  std::vector<AddedToken> some;
  for (const AddedToken& token : all) {
    if (token.normalized != normalized) continue;
    some.push_back(token);
    if (nfc_content) some.back().content = nfc(token.content);
  }
  return some;
}

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeSpec spec)
      : spec_(std::move(spec)),
        tokens_(spec_.tokens),
        pairs_(tokens_, spec_.merges, spec_.whole_first),
        raw_(those(spec_.added, false, false)),
        normalized_(those(spec_.added, true, spec_.nfc)) {
    spec_.tokens = {};
    spec_.merges = {};
  }

  std::string_view type() const override { return spec_.type; }
  std::int64_t vocab_size() const override { return tokens_.size(); }
  std::string to_json() const override { return spec_.json; }
  std::string_view decode_bytes(std::int32_t id) const override {
    if (id < 0 || id >= vocab_size()) fail_token_id(id, vocab_size(), type());
    return tokens_[id];
  }

  std::size_t encode_some(std::string_view text, bool last, std::uint64_t base,
                          std::vector<std::int32_t>& out) const override {
    return for_each_window(
        text, last, [this](std::string_view part) { return cut(part); },
        [&](std::string_view part, std::size_t at) { encode_part(part, base + at, out); });
  }

 private:
  // The last place where `text`, of which more follows, may be cut; 0 when there is none.
  std::size_t cut(std::string_view text) const {
    if (text.empty()) return 0;
    if (spec_.splitter->cut() == Splitter::Cut::Matches) return cut_at_match(text);
    if (spec_.splitter->cut() != Splitter::Cut::Words) return 0;
    for (std::size_t at = text.size() - 1; at > 0; --at) {
      if (may_cut(text, at)) return at;
    }
    return 0;
  }

  std::size_t cut_at_match(std::string_view text) const {
    if (spec_.nfc || spec_.prefix_blank || !normalized_.empty()) return 0;
    std::vector<AddedTokens::Piece> pieces;
    raw_.split(text, pieces);
    const AddedTokens::Piece& tail = pieces.back();
    if (tail.id >= 0) return 0;
    const auto begin = static_cast<std::size_t>(tail.text.data() - text.data());
    std::vector<std::size_t> ends;
    spec_.splitter->settled(tail.text, ends);
    for (; !ends.empty(); ends.pop_back()) {
      const std::string_view before = text.substr(0, begin + ends.back());
      const Utf8Step left = utf8_step(before, utf8_last(before));
      const bool blank = left.state == Utf8State::Valid && classes_.is_space(left.code);
      if (!blank && !raw_.may_span(before, text[before.size()])) return before.size();
    }
    return 0;
  }

  bool may_cut(std::string_view text, std::size_t at) const {
    const bool blank = text[at] == ' ';
    if (!blank && spec_.prefix_blank) return false;  // what begins with another character would get a blank
    const Utf8Step right = utf8_step(text, at);
    if (right.state != Utf8State::Valid) return false;
    const std::string_view before = text.substr(0, at);
    const Utf8Step left = utf8_step(before, utf8_last(before));
    if (left.state != Utf8State::Valid) return false;
    const bool letter = classes_.is_letter(left.code), number = classes_.is_number(left.code);
    const bool border =
        blank ? !classes_.is_space(left.code)
              : (letter && !classes_.is_letter(right.code)) || (number && !classes_.is_number(right.code));
    if (!border || (spec_.nfc && !nfc_boundary_before(right.code))) return false;
    if (raw_.may_span(before, text[at])) return false;
    if (normalized_.empty()) return true;
    const std::size_t context = std::min(at, 2 * normalized_.longest() + 64);
    const std::string_view near = text.substr(at - context, context);
    return !(spec_.nfc && may_change_in_nfc(near) ? normalized_.may_span(nfc(near), text[at])
                                                  : normalized_.may_span(near, text[at]));
  }

  void encode_part(std::string_view text, std::uint64_t base, std::vector<std::int32_t>& out) const {
    std::vector<AddedTokens::Piece> pieces, inner;
    raw_.split(text, pieces);
    for (const AddedTokens::Piece& piece : pieces) {
      const std::uint64_t at = base + static_cast<std::uint64_t>(piece.text.data() - text.data());
      if (piece.id >= 0) {
        out.push_back(piece.id);
        continue;
      }
      const bool change = spec_.nfc && may_change_in_nfc(piece.text);
      const std::string changed = change ? nfc(piece.text) : std::string();
      inner.clear();
      normalized_.split(change ? std::string_view(changed) : piece.text, inner);
      for (const AddedTokens::Piece& p : inner) {
        if (p.id >= 0) {
          out.push_back(p.id);
        } else {
          // An error's place in normalized text is near enough.
          encode_plain(p.text, at + static_cast<std::uint64_t>(p.text.data() - inner[0].text.data()), out);
        }
      }
    }
  }

  void encode_plain(std::string_view text, std::uint64_t base, std::vector<std::int32_t>& out) const {
    std::string prefixed;
    if (spec_.prefix_blank && text[0] != ' ') {
      prefixed = " ";
      prefixed += text;
      text = prefixed;
    }
    std::vector<std::size_t> ends;
    ends.reserve(text.size() / 4);
    spec_.splitter->split(text, ends);
    pairs_.encode(text, ends, base, out);
  }

  BpeSpec spec_;
  TokenTable tokens_;
  BytePairs pairs_;
  AddedTokens raw_, normalized_;
  const CharClasses& classes_ = CharClasses::get();
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe_tokenizer(BpeSpec spec) {
  return std::make_unique<BpeTokenizer>(std::move(spec));
}

}  // namespace rt::data
