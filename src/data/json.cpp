#include "data/json.h"

namespace rt::data {

using nlohmann::json;
using nlohmann::ordered_json;

template <class J>
J parse_json(std::string_view text) {
  return J::parse(text);
}

template <class J>
J try_json(std::string_view text) {
  return J::parse(text, nullptr, false);
}

template <class J>
std::string json_text(const J& value, int indent, BadUtf8 bad, bool ascii) {
  using Handler = typename J::error_handler_t;
  return value.dump(indent, ' ', ascii, bad == BadUtf8::Replace ? Handler::replace : Handler::strict);
}

template json parse_json<json>(std::string_view);
template ordered_json parse_json<ordered_json>(std::string_view);
template json try_json<json>(std::string_view);
template ordered_json try_json<ordered_json>(std::string_view);
template std::string json_text(const json&, int, BadUtf8, bool);
template std::string json_text(const ordered_json&, int, BadUtf8, bool);

}  // namespace rt::data
