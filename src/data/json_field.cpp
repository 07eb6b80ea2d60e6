#include "data/json_field.h"

#include <simdjson.h>

#include "rt/core/error.h"

namespace rt::data {
namespace {

constexpr std::size_t kUsualLine = std::size_t{1} << 20;

const char* described(simdjson::dom::element_type type) {
  switch (type) {
    case simdjson::dom::element_type::ARRAY: return "an array";
    case simdjson::dom::element_type::OBJECT: return "an object";
    case simdjson::dom::element_type::BOOL: return "a boolean";
    case simdjson::dom::element_type::NULL_VALUE: return "null";
    default: return "a number";
  }
}

}  // namespace

static_assert(JsonField::kPadding >= simdjson::SIMDJSON_PADDING);

struct JsonField::Parser {
  simdjson::dom::parser dom;
};

JsonField::JsonField(std::string field) : field_(std::move(field)) {}
JsonField::~JsonField() = default;

bool JsonField::get(std::string_view line, std::string_view& text, std::string& why) {
  // The parser's buffers are several times the longest line it has seen: none are kept for a rare giant.
  if (!parser_ || parser_->dom.capacity() > kUsualLine) {
    parser_ = std::make_unique<Parser>();
    if (parser_->dom.allocate(kUsualLine) != simdjson::SUCCESS) throw std::bad_alloc();
  }
  simdjson::dom::element root, found;
  const auto error = parser_->dom.parse(line.data(), line.size(), false).get(root);
  if (error == simdjson::MEMALLOC) throw std::bad_alloc();
  if (error != simdjson::SUCCESS) {
    text = {};
    const bool good = json_field_slowly(line, field_, slow_text_, why);
    if (good) text = slow_text_;
    return good;
  }
  simdjson::dom::object object;
  if (root.get(object) != simdjson::SUCCESS) {
    why = "not a JSON object";
    return false;
  }
  bool has = false;
  for (const auto [key, value] : object) {
    if (key != field_) continue;
    found = value;
    has = true;
  }
  if (!has) {
    why = format("has no field \"{}\"", field_);
  } else if (found.get(text) != simdjson::SUCCESS) {
    why = format("field \"{}\" is {}, not a string", field_, described(found.type()));
  } else {
    return true;
  }
  return false;
}

}  // namespace rt::data
