#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace rt {

// metrics.jsonl: one object per line, appended and flushed line by line.
class MetricsFile {
 public:
  using Field = std::pair<std::string, std::variant<std::int64_t, double, std::string>>;

  // Continues an existing file: lines of steps after `resumed_step`, which will be run again, and a torn last
  // line are dropped.
  MetricsFile(const std::filesystem::path& path, std::uint64_t resumed_step);
  void write(const std::vector<Field>& fields);

 private:
  std::filesystem::path path_;
  std::ofstream out_;
};

}  // namespace rt
