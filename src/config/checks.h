#pragma once
#include "config/section.h"

namespace rt::config {

// What validation says most: each throws Exit::Config at the place of the key at `path` unless the value is
// allowed.
class Checks {
 public:
  explicit Checks(const Places& places) : places_(places) {}

 protected:
  template <class... Args>
  void require(bool ok, const std::string& path, std::string_view pattern, const Args&... args) const {
    if (!ok) fail_at(places_.find(path), path, pattern, args...);
  }

  void at_least(std::int64_t value, std::int64_t low, const std::string& path) const {
    require(value >= low, path, "{} is too small. Use {} or more", value, low);
  }
  void at_least(const std::optional<std::int64_t>& value, std::int64_t low, const std::string& path) const {
    if (value) at_least(*value, low, path);
  }
  void positive(double value, const std::string& path) const {
    require(value > 0, path, "{} is not positive. Use a number above 0", format_real(value));
  }
  void not_negative(double value, const std::string& path) const {
    require(value >= 0, path, "{} is negative. Use 0 or more", format_real(value));
  }
  void positive(const Quantity& value, const std::string& path) const {
    require(value.value > 0, path, "{} is not positive. Use e.g. 100steps", format_quantity(value));
  }
  void in_steps(const Quantity& value, const std::string& path) const {
    require(value.unit == Quantity::Unit::Steps, path, "{} is not a number of steps. Use e.g. 100steps",
            format_quantity(value));
    positive(value, path);
  }

  const Places& places_;
};

}  // namespace rt::config
