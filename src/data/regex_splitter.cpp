#include "data/regex_splitter.h"

#include "data/utf8.h"
#include "rt/core/error.h"

#ifdef RT_WITH_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

namespace rt::data {

#ifdef RT_WITH_PCRE2
namespace {

struct Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};

std::string message_of(int code) {
  unsigned char text[256] = {};
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

class RegexSplitter final : public Splitter {
 public:
  RegexSplitter(const std::string& pattern, std::string_view where) : pattern_(pattern) {
    int error = 0;
    PCRE2_SIZE at = 0;
    const auto* text = reinterpret_cast<PCRE2_SPTR>(pattern.data());
    // Text that is no UTF-8 is searched as well; no match reaches over the bad bytes.
    constexpr std::uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF;
    code_.reset(pcre2_compile(text, pattern.size(), kOptions, &error, &at, nullptr));
    if (!code_) {
      fail(Exit::Data, "{}: the pattern {} is wrong at character {}: {}", where, pattern, at,
           message_of(error));
    }
    // Where it cannot, matching is interpreted.
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
    std::uint32_t behind = 0;
    pcre2_pattern_info(code_.get(), PCRE2_INFO_MAXLOOKBEHIND, &behind);
    looks_back_ = behind > 0 || asks_for_the_start(pattern);
  }

  // What a pattern looks at in front of it, PCRE2 says by partial matches.
  Cut cut() const override { return looks_back_ ? Cut::Nowhere : Cut::Matches; }

  void split(std::string_view text, std::vector<std::size_t>& ends) const override {
    const std::size_t done = matches(text, 0, ends);
    if (done < text.size()) ends.push_back(text.size());
  }

  void settled(std::string_view text, std::vector<std::size_t>& ends) const override {
    matches(utf8_whole(text), PCRE2_PARTIAL_HARD,
            ends);  // half a character would count as bytes that are none
  }

 private:
  // Whether a match may depend on where the text begins: conservative.
  static bool asks_for_the_start(std::string_view pattern) {
    for (std::size_t at = 0; at < pattern.size(); ++at) {
      if (pattern[at] == '^' && (at == 0 || pattern[at - 1] != '[')) return true;
      if (pattern[at] == '\\' && ++at < pattern.size() && (pattern[at] == 'A' || pattern[at] == 'G'))
        return true;
    }
    return false;
  }

  // Appends the ends of matches and of what lies between them; returns the last one's.
  std::size_t matches(std::string_view text, std::uint32_t options, std::vector<std::size_t>& ends) const {
    const std::unique_ptr<pcre2_match_data, Free> match(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    const auto* bytes = reinterpret_cast<PCRE2_SPTR>(text.data());
    std::size_t done = 0, from = 0;
    while (from < text.size()) {
      const int found =
          pcre2_match(code_.get(), bytes, text.size(), from, PCRE2_NOTEMPTY | options, match.get(), nullptr);
      if (found == PCRE2_ERROR_NOMATCH || found == PCRE2_ERROR_PARTIAL) break;
      if (found < 0) fail(Exit::Data, "the pattern {} cannot be matched: {}", pattern_, message_of(found));
      const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
      if (span[0] > done) ends.push_back(span[0]);
      ends.push_back(span[1]);
      from = done = span[1];
    }
    return done;
  }

  std::string pattern_;
  std::unique_ptr<pcre2_code, Free> code_;
  bool looks_back_ = false;
};

}  // namespace

std::unique_ptr<Splitter> make_regex_splitter(const std::string& pattern, std::string_view where) {
  return std::make_unique<RegexSplitter>(pattern, where);
}
#else
std::unique_ptr<Splitter> make_regex_splitter(const std::string& pattern, std::string_view where) {
  fail(Exit::Config,
       "{}: splits by the pattern {}, for which this program needs PCRE2; install libpcre2-dev and build "
       "again",
       where, pattern);
}
#endif

}  // namespace rt::data
