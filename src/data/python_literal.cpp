#include "data/python_literal.h"

#include <charconv>
#include <cstdint>

#include "data/utf8.h"

namespace rt::data {
namespace {

constexpr std::string_view kEscapes = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";

// The number in the next `digits` hexadecimal digits of `body` at `at`; false when they are not there.
bool read_hex(std::string_view body, std::size_t at, std::size_t digits, std::uint32_t& value) {
  if (body.size() - at < digits) return false;
  const char* begin = body.data() + at;
  const auto [end, error] = std::from_chars(begin, begin + digits, value, 16);
  return error == std::errc() && end == begin + digits;
}

// Reads the escape whose letter is body[at]; returns what follows it, 0 when it is none.
std::size_t read_escape(std::string_view body, std::size_t at, bool is_bytes, std::string& out) {
  const char letter = body[at];
  if (const auto found = kEscapes.find(letter); found != std::string_view::npos) {
    out.push_back(kMeanings[found]);
    return at + 1;
  }
  const std::size_t digits = letter == 'x' ? 2 : is_bytes ? 0 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
  std::uint32_t value = 0;
  if (digits == 0 || !read_hex(body, at + 1, digits, value)) return 0;
  if (is_bytes) {
    out.push_back(static_cast<char>(value));
  } else {
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return 0;
    utf8_append(out, value);
  }
  return at + 1 + digits;
}

}  // namespace

bool read_python_literal(std::string_view text, std::string& out) {
  out = "is not a Python literal in quotes";
  const bool is_bytes = !text.empty() && text.front() == 'b';
  if (is_bytes) text.remove_prefix(1);
  if (text.size() < 2 || (text.front() != '\'' && text.front() != '"') || text.back() != text.front()) {
    return false;
  }
  const char quote = text.front();
  const std::string_view body = text.substr(1, text.size() - 2);
  std::string bytes;
  for (std::size_t at = 0; at < body.size();) {
    if (body[at] == quote) return false;
    if (body[at] != '\\') {
      bytes.push_back(body[at++]);
      continue;
    }
    const std::size_t next = at + 1 < body.size() ? read_escape(body, at + 1, is_bytes, bytes) : 0;
    if (next == 0) {
      out = "has an escape that is not known: " + std::string(body.substr(at, 10));
      return false;
    }
    at = next;
  }
  out = std::move(bytes);
  return true;
}

}  // namespace rt::data
