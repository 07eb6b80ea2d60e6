#include "data/regex_splitter.h"

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
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where it cannot, matching is interpreted
  }

  Cut cut() const override { return Cut::Nowhere; }  // who knows how far a pattern looks

  void split(std::string_view text, std::vector<std::size_t>& ends) const override {
    const std::unique_ptr<pcre2_match_data, Free> match(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    const auto* bytes = reinterpret_cast<PCRE2_SPTR>(text.data());
    std::size_t done = 0, from = 0;
    while (from < text.size()) {
      const int found =
          pcre2_match(code_.get(), bytes, text.size(), from, PCRE2_NOTEMPTY, match.get(), nullptr);
      if (found == PCRE2_ERROR_NOMATCH) break;
      if (found < 0) fail(Exit::Data, "the pattern {} cannot be matched: {}", pattern_, message_of(found));
      const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
      if (span[0] > done) ends.push_back(span[0]);
      ends.push_back(span[1]);
      from = done = span[1];
    }
    if (done < text.size()) ends.push_back(text.size());
  }

 private:
  std::string pattern_;
  std::unique_ptr<pcre2_code, Free> code_;
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
