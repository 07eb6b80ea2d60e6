#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace rt::data {

// nlohmann's parser and writer, compiled here once: they are most of what a file that uses them costs a
// compiler. J: nlohmann::json or nlohmann::ordered_json.
template <class J>
J parse_json(std::string_view text);  // throws nlohmann::json::exception
template <class J>
J try_json(std::string_view text);  // is_discarded() when it is no JSON

enum class BadUtf8 : std::uint8_t { Refuse, Replace };  // refuse: throws nlohmann::json::exception
// `indent` -1: one line.
template <class J>
std::string json_text(const J& json, int indent = -1, BadUtf8 bad = BadUtf8::Refuse, bool ascii = false);

}  // namespace rt::data
