#include "config/scalar.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

namespace rt::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct Unit {
  std::string_view name;
  std::int64_t factor;
};

constexpr Unit kCountUnits[] = {
    {"k", 1'000},    {"M", 1'000'000}, {"B", 1'000'000'000}, {"T", 1'000'000'000'000},
    {"Ki", 1 << 10}, {"Mi", 1 << 20},  {"Gi", 1 << 30}};
constexpr Unit kTimeUnits[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};

std::optional<std::int64_t> times(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

std::optional<std::int64_t> digits_to_int(std::string_view digits) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

// "100_000" -> "100000"; empty when an underscore does not stand between two digits.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1])) {
      return std::nullopt;
    }
  }
  return out;
}

// Takes the number off the front of `text`; a number is digits with at most one dot between them.
std::string_view take_number(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && (is_digit(text[n]) || (text[n] == '.' && n > 0))) ++n;
  const std::string_view number = text.substr(0, n);
  text.remove_prefix(n);
  return number;
}

// value of "1.25" times factor, exactly; empty when that is no whole number.
std::optional<std::int64_t> scaled(std::string_view number, std::int64_t factor) {
  const auto dot = number.find('.');
  const std::string_view whole = number.substr(0, dot);
  const std::string_view fraction = dot == std::string_view::npos ? "" : number.substr(dot + 1);
  const bool bad_fraction = dot != std::string_view::npos && (fraction.empty() || fraction.size() > 15);
  if (whole.empty() || bad_fraction || (whole.size() > 1 && whole[0] == '0')) return std::nullopt;
  const auto mantissa = digits_to_int(std::string(whole) + std::string(fraction));
  if (!mantissa) return std::nullopt;
  std::int64_t divisor = 1;
  for (std::size_t i = 0; i < fraction.size(); ++i) divisor *= 10;
  // Dividing first by what both share keeps 1.000000000T inside 64 bits.
  const std::int64_t shared = std::gcd(factor, divisor);
  factor /= shared;
  divisor /= shared;
  if (*mantissa % divisor != 0) return std::nullopt;
  return times(*mantissa / divisor, factor);
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool drop_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  text = trim(text);
  return true;
}

}  // namespace

std::optional<std::int64_t> parse_count(std::string_view text) {
  const auto plain = without_underscores(text);
  if (!plain) return std::nullopt;
  std::string_view rest = *plain;
  const std::string_view number = take_number(rest);
  if (rest.empty()) return scaled(number, 1);
  for (const Unit& unit : kCountUnits) {
    if (rest == unit.name) return scaled(number, unit.factor);
  }
  return std::nullopt;
}

std::string format_count(std::int64_t value) { return std::to_string(value); }

std::optional<double> parse_real(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::string format_real(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string text(buffer, end);
  const auto exponent = text.find('e');
  if (exponent != std::string::npos && text[exponent + 2] == '0') text.erase(exponent + 2, 1);  // e-04: e-4
  // Without a dot YAML 1.1 readers take 1e-5 for text.
  if (text.find('.') == std::string::npos) text.insert(std::min(exponent, text.size()), ".0");
  return text;
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  std::int64_t total = 0;
  std::size_t next_unit = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const std::string_view number = take_number(text);
    std::size_t unit = next_unit;
    while (unit < std::size(kTimeUnits) && !text.starts_with(kTimeUnits[unit].name)) ++unit;
    if (unit == std::size(kTimeUnits)) return std::nullopt;
    text.remove_prefix(1);
    const auto part = scaled(number, kTimeUnits[unit].factor);
    if (!part || __builtin_add_overflow(total, *part, &total)) return std::nullopt;
    next_unit = unit + 1;
  }
  return std::chrono::seconds(total);
}

std::string format_duration(std::chrono::seconds value) {
  std::string out;
  std::int64_t left = value.count();
  for (const Unit& unit : kTimeUnits) {
    if (left >= unit.factor) out += std::to_string(left / unit.factor) + std::string(unit.name);
    left %= unit.factor;
  }
  return out.empty() ? "0s" : out;
}

std::optional<Quantity> parse_quantity(std::string_view text) {
  if (drop_suffix(text, "%")) {
    const auto value = parse_real(text);
    return value ? std::optional(percent(*value)) : std::nullopt;
  }
  auto unit = Quantity::Unit::Steps;
  if (drop_suffix(text, "tokens") || drop_suffix(text, "token")) {
    unit = Quantity::Unit::Tokens;
  } else if (!drop_suffix(text, "steps") && !drop_suffix(text, "step")) {
    // A bare 100 might mean steps or tokens; 1M is tokens as everywhere else.
    if (text.empty() || is_digit(text.back())) return std::nullopt;
    unit = Quantity::Unit::Tokens;
  }
  const auto value = parse_count(text);
  if (!value || *value > (std::int64_t{1} << 53)) return std::nullopt;
  return Quantity{static_cast<double>(*value), unit};
}

std::string format_quantity(const Quantity& value) {
  switch (value.unit) {
    case Quantity::Unit::Percent: return format_real(value.value) + "%";
    case Quantity::Unit::Tokens: return std::to_string(std::llround(value.value)) + "tokens";
    case Quantity::Unit::Steps: break;
  }
  return std::to_string(std::llround(value.value)) + "steps";
}

std::int64_t Quantity::steps(std::int64_t tokens_per_step, std::int64_t total_steps) const {
  switch (unit) {
    case Unit::Percent: return std::llround(value / 100.0 * static_cast<double>(total_steps));
    case Unit::Tokens: return (std::llround(value) + tokens_per_step - 1) / tokens_per_step;
    case Unit::Steps: break;
  }
  return std::llround(value);
}

std::optional<Device> parse_device_name(std::string_view text) {
  if (text == "cpu") return Device::cpu();
  if (text == "cuda") return Device::cuda(0);
  constexpr std::string_view kPrefix = "cuda:";
  if (!text.starts_with(kPrefix)) return std::nullopt;
  const auto index = digits_to_int(text.substr(kPrefix.size()));
  if (!index || *index < 0 || *index > std::numeric_limits<int>::max()) return std::nullopt;
  return Device::cuda(static_cast<int>(*index));
}

bool is_yaml_boolean(std::string_view text) {
  std::string lower(text);
  // YAML takes no, No and NO but not nO.
  const bool capital =
      text.size() > 1 && std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= 'a'; });
  const bool all_upper = std::all_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (!capital && !all_upper && text.size() != 1) return false;
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  constexpr std::string_view kWords[] = {"y", "n", "yes", "no", "on", "off", "true", "false"};
  return std::find(std::begin(kWords), std::end(kWords), lower) != std::end(kWords);
}

}  // namespace rt::config
