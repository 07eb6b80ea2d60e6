#include "data/utf8.h"

#include <algorithm>
#include <cstdint>

namespace rt::data {
namespace {

struct Lead {
  std::size_t length = 0;                 // 0: not a lead byte
  unsigned char low = 0x80, high = 0xBF;  // range of the second byte
};

Lead classify(unsigned char b) {
  if (b >= 0xC2 && b <= 0xDF) return {2, 0x80, 0xBF};
  if (b == 0xE0) return {3, 0xA0, 0xBF};
  if (b == 0xED) return {3, 0x80, 0x9F};  // no surrogates
  if (b >= 0xE1 && b <= 0xEF) return {3, 0x80, 0xBF};
  if (b == 0xF0) return {4, 0x90, 0xBF};
  if (b >= 0xF1 && b <= 0xF3) return {4, 0x80, 0xBF};
  if (b == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

}  // namespace

Utf8Step utf8_step(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return {first, 1, Utf8State::Valid};
  const Lead lead = classify(first);
  if (lead.length == 0) return {0, 1, Utf8State::Invalid};
  char32_t code = first & (0x7Fu >> lead.length);
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (at + i >= text.size()) return {0, i, Utf8State::Incomplete};
    const auto b = static_cast<unsigned char>(text[at + i]);
    const unsigned char low = i == 1 ? lead.low : 0x80, high = i == 1 ? lead.high : 0xBF;
    if (b < low || b > high) return {0, i, Utf8State::Invalid};
    code = (code << 6) | (b & 0x3Fu);
  }
  return {code, lead.length, Utf8State::Valid};
}

std::size_t utf8_last(std::string_view text) {
  std::size_t at = text.size() - 1;
  for (std::size_t back = 1; back <= 4 && back <= text.size(); ++back) {
    const Utf8Step step = utf8_step(text, text.size() - back);
    if (step.state == Utf8State::Valid && step.length == back) at = text.size() - back;
    if (step.state == Utf8State::Valid) break;
  }
  return at;
}

std::string_view utf8_whole(std::string_view text) {
  for (std::size_t n = 1; n <= std::min<std::size_t>(3, text.size()); ++n) {
    if (utf8_step(text, text.size() - n).state == Utf8State::Incomplete)
      return text.substr(0, text.size() - n);
  }
  return text;
}

void utf8_append(std::string& out, char32_t code) {
  const auto push = [&out](std::uint32_t b) { out.push_back(static_cast<char>(b)); };
  const std::uint32_t c = code;
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | (c >> 6));
    push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | (c >> 12));
    push(0x80 | ((c >> 6) & 0x3F));
    push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | (c >> 18));
    push(0x80 | ((c >> 12) & 0x3F));
    push(0x80 | ((c >> 6) & 0x3F));
    push(0x80 | (c & 0x3F));
  }
}

std::string describe_character(char32_t code) {
  std::string hex;
  for (std::uint32_t c = code; c != 0 || hex.size() < 4; c >>= 4) {
    hex.insert(hex.begin(), "0123456789ABCDEF"[c & 15]);
  }
  if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return "U+" + hex;
  std::string text = "'";
  utf8_append(text, code);
  return text + "' (U+" + hex + ")";
}

}  // namespace rt::data
