#include <nlohmann/json.hpp>
#include <utility>

#include "data/json_field.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

using Json = nlohmann::json;

// Sees the line as a series of events, so that its memory does not depend on what else the line holds.
class FieldEvents final : public nlohmann::json_sax<Json> {
 public:
  FieldEvents(const std::string& field, std::string& text) : field_(field), text_(text) {}

  bool null() override { return value("null"); }
  bool boolean(bool) override { return value("a boolean"); }
  bool number_integer(number_integer_t) override { return value("a number"); }
  bool number_unsigned(number_unsigned_t) override { return value("a number"); }
  bool number_float(number_float_t, const string_t&) override { return value("a number"); }
  bool binary(binary_t&) override { return value("binary data"); }
  bool string(string_t& text) override {
    if (depth_ == 1 && wanted_) text_ = std::move(text);
    return value("a string");
  }
  bool start_object(std::size_t) override {
    value("an object");
    is_object_ = is_object_ || depth_ == 0;
    ++depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    value("an array");
    ++depth_;
    return true;
  }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool key(string_t& key) override {
    wanted_ = depth_ == 1 && key == field_;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    why_ = format("not valid JSON near column {}", position);
    // "[...] parse error at line 1, column 9: syntax error while parsing value - REASON; last read: '...'"
    const std::string_view all = e.what();
    const std::size_t begin = all.find(" - "), end = all.find("; last read");
    if (begin != all.npos && end != all.npos) why_ += format(": {}", all.substr(begin + 3, end - begin - 3));
    return false;
  }

  std::string result() const {
    if (!why_.empty()) return why_;
    if (!is_object_) return "not a JSON object";
    if (found_.empty()) return format("has no field \"{}\"", field_);
    if (found_ != "a string") return format("field \"{}\" is {}, not a string", field_, found_);
    return {};
  }

 private:
  bool value(const char* what) {
    if (depth_ == 1 && std::exchange(wanted_, false)) found_ = what;
    return true;
  }
  const std::string& field_;
  std::string& text_;
  std::string found_, why_;
  std::size_t depth_ = 0;
  bool is_object_ = false, wanted_ = false;
};

}  // namespace

bool json_field_slowly(std::string_view line, const std::string& field, std::string& text, std::string& why) {
  FieldEvents events(field, text);
  Json::sax_parse(line, &events);
  why = events.result();
  return why.empty();
}

}  // namespace rt::data
