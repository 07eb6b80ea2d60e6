#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rt/core/error.h"

namespace rt {

// The command line of a program or verb. What is bound is written by parse(); without the option it keeps its
// value, which help shows as the default. Every mistake is Exit::Config, one line.
class Options {
 public:
  enum class Need : std::uint8_t { Optional, Required };

  Options(const std::string& program, const std::string& summary);
  ~Options();
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  void positional(const std::string& name, std::string& into, const std::string& help);
  void positionals(const std::string& name, std::vector<std::string>& into, const std::string& help);  // >= 1
  void text(const std::string& name, std::string& into, const std::string& help, Need need = Need::Optional);
  void text(const std::string& name, std::optional<std::string>& into, const std::string& help);
  void texts(const std::string& name, std::vector<std::string>& into, const std::string& help);  // repeatable
  void choice(const std::string& name, std::string& into, const std::vector<std::string>& allowed,
              const std::string& help);
  // Non-negative, with units: 4096, 64k, 0.5M, 512Ki.
  void count(const std::string& name, std::int64_t& into, const std::string& help,
             Need need = Need::Optional);
  void real(const std::string& name, double& into, const std::string& help);
  void flag(const std::string& name, bool& into, const std::string& help);

  // False when help was asked for and has been printed: there is nothing more to do.
  bool parse(int argc, char** argv);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::optional<std::int64_t> parse_count(std::string_view text);

}  // namespace rt
