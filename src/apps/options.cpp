#include "apps/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace rt {

struct Options::State {
  CLI::App app;
  std::string program;
  State(const std::string& name, const std::string& summary) : app(summary, name), program(name) {
    app.get_formatter()->column_width(34);
  }
  CLI::Option* add(CLI::Option* option, Need need = Need::Optional) {
    return option->required(need == Need::Required);
  }
};

Options::Options(const std::string& program, const std::string& summary)
    : state_(std::make_unique<State>(program, summary)) {}
Options::~Options() = default;

void Options::positional(const std::string& name, std::string& into, const std::string& help) {
  state_->add(state_->app.add_option(name, into, help), Need::Required);
}

void Options::positionals(const std::string& name, std::vector<std::string>& into, const std::string& help) {
  state_->add(state_->app.add_option(name, into, help), Need::Required)->type_name("TEXT");
}

void Options::text(const std::string& name, std::string& into, const std::string& help, Need need) {
  CLI::Option* option = state_->add(state_->app.add_option(name, into, help), need);
  if (!into.empty()) option->capture_default_str();
}

void Options::text(const std::string& name, std::optional<std::string>& into, const std::string& help) {
  state_->app.add_option_function<std::string>(
      name, [&into](const std::string& value) { into = value; }, help);
}

void Options::texts(const std::string& name, std::vector<std::string>& into, const std::string& help) {
  state_->app.add_option(name, into, help)->type_name("TEXT")->allow_extra_args(false);
}

void Options::choice(const std::string& name, std::string& into, const std::vector<std::string>& allowed,
                     const std::string& help) {
  CLI::Option* option = state_->app.add_option(name, into, help);
  std::string names;
  for (const std::string& a : allowed) names += (names.empty() ? "" : "|") + a;
  option->type_name(names)->check([allowed, names](const std::string& value) {
    const bool known = std::find(allowed.begin(), allowed.end(), value) != allowed.end();
    return known ? std::string() : format("\"{}\" is not one of {}", value, names);
  });
  if (!into.empty()) option->capture_default_str();
}

void Options::count(const std::string& name, std::int64_t& into, const std::string& help, Need need) {
  const auto assign = [&into, name](const std::string& value) {
    const auto n = parse_count(value);
    if (!n) {
      throw CLI::ValidationError(name, format("\"{}\" is not a count. Use 524288, 512Ki or 0.5M.", value));
    }
    into = *n;
  };
  CLI::Option* option = state_->add(state_->app.add_option_function<std::string>(name, assign, help), need);
  option->type_name("N");
  if (need == Need::Optional) option->default_str(std::to_string(into));
}

void Options::real(const std::string& name, double& into, const std::string& help) {
  state_->app.add_option(name, into, help)->type_name("X")->capture_default_str();
}

void Options::flag(const std::string& name, bool& into, const std::string& help) {
  state_->app.add_flag(name, into, help);
}

bool Options::parse(int argc, char** argv) {
  try {
    state_->app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(state_->app.help().c_str(), stdout);
    return false;
  } catch (const CLI::ParseError& e) {
    std::string what = e.what();
    std::replace(what.begin(), what.end(), '\n', ' ');
    while (!what.empty() && (what.back() == ' ' || what.back() == '.')) what.pop_back();
    fail(Exit::Config, "{}: {}. See {} --help.", state_->program, what, state_->program);
  }
  return true;
}

std::optional<std::int64_t> parse_count(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc() || !(number >= 0)) return std::nullopt;
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"", 1},     {"k", 1e3},     {"M", 1e6},        {"B", 1e9},
      {"T", 1e12}, {"Ki", 1024.0}, {"Mi", 1048576.0}, {"Gi", 1073741824.0}};
  for (const auto& [name, factor] : kUnits) {
    const double value = std::round(number * factor);
    constexpr double kExact = 9007199254740992.0;  // beyond 2^53 a double skips integers
    if (unit != name || value > kExact) continue;
    if (std::abs(value - number * factor) > 1e-6) return std::nullopt;
    return static_cast<std::int64_t>(value);
  }
  return std::nullopt;
}

}  // namespace rt
