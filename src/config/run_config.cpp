#include "rt/config/run_config.h"

#include <algorithm>

#include "config/schema.h"

namespace rt::config {
namespace {

RunConfig from_tree(const Node& root, const std::string& file) {
  Places places(Origin{file});
  RunConfig config = read_config(root, places);
  resolve_and_validate(config, places);
  return config;
}

}  // namespace

RunConfig RunConfig::load(const std::filesystem::path& file, std::span<const std::string> overrides) {
  return from_tree(load_tree(file.string(), overrides), file.string());
}

RunConfig RunConfig::parse(std::string_view yaml, std::string_view name,
                           std::span<const std::string> overrides) {
  return from_tree(load_tree(yaml, std::string(name), overrides), std::string(name));
}

std::int64_t SeqLen::shortest() const {
  const auto by_value = [](const SeqLenPart& a, const SeqLenPart& b) { return a.value < b.value; };
  return std::min_element(parts.begin(), parts.end(), by_value)->value;
}

std::string RunConfig::dump() const {
  return "# Every key of the run, defaults included. Training from this file repeats the run.\n" +
         emit_yaml(write_config(*this));
}

std::optional<std::int64_t> RunConfig::total_steps() const {
  std::optional<std::int64_t> total = budget.steps;
  if (budget.tokens) {
    const std::int64_t by_tokens = *budget.tokens / batch.global_tokens;
    total = std::min(total.value_or(by_tokens), by_tokens);
  }
  return total;
}

}  // namespace rt::config
