#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "rt/config/quantity.h"
#include "rt/core/device.h"
#include "rt/core/dtype.h"

// The text of one value, both ways: every parse_ is empty for what it does not take, and takes what its
// format_ writes. The units are the schema's: counts "0.5M" "512Ki" "100_000", durations "23h30m", quantities
// "200steps".
namespace rt::config {

// Non-negative: k M B T are powers of 1000, Ki Mi Gi of 1024; "1.5" and "010" are no counts.
std::optional<std::int64_t> parse_count(std::string_view text);
std::string format_count(std::int64_t value);

std::optional<double> parse_real(std::string_view text);  // finite; "1e-4" as well as "1.0e-4"
std::string format_real(double value);  // shortest that reads back to the same bits, with a dot

std::optional<std::chrono::seconds> parse_duration(
    std::string_view text);  // d h m s in this order, e.g. "1d2h"
std::string format_duration(std::chrono::seconds value);

std::optional<Quantity> parse_quantity(std::string_view text);
std::string format_quantity(const Quantity& value);

std::optional<Device> parse_device_name(std::string_view text);  // cpu, cuda, cuda:N; present or not

// What YAML 1.1 readers make of a bare y/yes/on/true or n/no/off/false; empty for other text.
bool is_yaml_boolean(std::string_view text);

// Values of type T as the schema reads them: kWhat completes "... is not ...", use() completes "Use ...".

template <class E>
using Name = std::pair<E, std::string_view>;
template <class E>  // specialised for each enum, in schema.h: std::array of Name<E>
inline constexpr int kNames = 0;

template <class T>
struct Scalar;

template <class E>
requires(!std::is_same_v<decltype(kNames<E>), const int>) struct Scalar<E> {
  static constexpr std::string_view kWhat = "one of the choices";
  static std::string use() {
    std::string out;
    for (std::size_t i = 0; i < kNames<E>.size(); ++i) {
      if (i > 0) out += i + 1 == kNames<E>.size() ? " or " : ", ";
      out += kNames<E>[i].second;
    }
    return out;
  }
  static std::optional<E> parse(std::string_view text) {
    for (const auto& [value, name] : kNames<E>) {
      if (name == text) return value;
    }
    return std::nullopt;
  }
  static std::string format(E value) {
    for (const auto& [known, name] : kNames<E>) {
      if (known == value) return std::string(name);
    }
    return "?";
  }
};

template <>
struct Scalar<std::int64_t> {
  static constexpr std::string_view kWhat = "a count";
  static std::string use() { return "524288, 512Ki or 0.5M"; }
  static auto parse(std::string_view text) { return parse_count(text); }
  static auto format(std::int64_t value) { return format_count(value); }
};

template <>
struct Scalar<double> {
  static constexpr std::string_view kWhat = "a number";
  static std::string use() { return "digits such as 0.1 or 6.0e-4"; }
  static auto parse(std::string_view text) { return parse_real(text); }
  static auto format(double value) { return format_real(value); }
};

template <>
struct Scalar<bool> {
  static constexpr std::string_view kWhat = "true or false";
  static std::string use() { return "true or false"; }
  static std::optional<bool> parse(std::string_view text) {
    if (text == "true") return true;
    if (text == "false") return false;
    return std::nullopt;
  }
  static std::string format(bool value) { return value ? "true" : "false"; }
};

template <>
struct Scalar<std::chrono::seconds> {
  static constexpr std::string_view kWhat = "a duration";
  static std::string use() { return "45s, 30m or 23h30m"; }
  static auto parse(std::string_view text) { return parse_duration(text); }
  static auto format(std::chrono::seconds value) { return format_duration(value); }
};

template <>
struct Scalar<Quantity> {
  static constexpr std::string_view kWhat = "a number of steps, tokens or percent";
  static std::string use() { return "200steps, 1Mtokens or 20%"; }
  static auto parse(std::string_view text) { return parse_quantity(text); }
  static auto format(const Quantity& value) { return format_quantity(value); }
};

template <>
struct Scalar<Device> {
  static constexpr std::string_view kWhat = "a device";
  static std::string use() { return "cpu, cuda or cuda:1"; }
  static auto parse(std::string_view text) { return parse_device_name(text); }
  static auto format(Device value) { return to_string(value); }
};

}  // namespace rt::config
