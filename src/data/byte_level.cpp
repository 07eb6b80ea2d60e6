#include <array>
#include <cstdint>
#include <unordered_map>

#include "data/hf_json.h"
#include "data/utf8.h"

namespace rt::data {
namespace {

// Printable characters of Latin-1 stand for themselves, the other bytes for U+0100 and on in their order.
struct Alphabet {
  Alphabet() {
    char32_t next = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      const bool printable = (b > ' ' && b < 0x7F) || (b > 0xA0 && b != 0xAD);
      code_of[b] = printable ? b : next++;
      byte_of[code_of[b]] = static_cast<char>(b);
    }
  }
  std::array<char32_t, 256> code_of;
  std::unordered_map<char32_t, char> byte_of;
};

const Alphabet& alphabet() {
  static const Alphabet table;
  return table;
}

}  // namespace

std::string byte_level_encode(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) utf8_append(text, alphabet().code_of[static_cast<unsigned char>(c)]);
  return text;
}

bool byte_level_decode(std::string_view text, std::string& bytes) {
  bytes.clear();
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const auto found = alphabet().byte_of.find(step.code);
    if (step.state != Utf8State::Valid || found == alphabet().byte_of.end()) return false;
    bytes.push_back(found->second);
    at += step.length;
  }
  return true;
}

}  // namespace rt::data
