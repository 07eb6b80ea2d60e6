#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace rt::data {

// Gets one string out of a line of JSON: the value of `field` in the object that the line is, the last one
// where the key is repeated, as common parsers do. The line is JSON as RFC 8259 has it, so text that is not
// UTF-8, half a surrogate pair ("\ud800") and bare control characters make it a bad one; \u0000 does not.
class JsonField {
 public:
  // So many bytes behind a line are read, whatever they are; they must be there.
  static constexpr std::size_t kPadding = 64;

  explicit JsonField(std::string field);
  ~JsonField();
  // False: `why` says what is wrong and where. `text` lives until the next call.
  bool get(std::string_view line, std::string_view& text, std::string& why);

 private:
  struct Parser;
  std::string field_;
  std::unique_ptr<Parser> parser_;
  std::string slow_text_;
};

// The same by a parser that knows where a mistake is, and takes numbers of any length. Slow.
bool json_field_slowly(std::string_view line, const std::string& field, std::string& text, std::string& why);

}  // namespace rt::data
