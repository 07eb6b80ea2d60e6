#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace rt {

// metrics.jsonl: one object per line, appended and flushed line by line. Lines without "event" are training
// steps. "event": "eval" is a validation set, with loss by position in two lists: position_loss[i] is the
// mean over predictions made after more than position_end[i - 1] and at most position_end[i] tokens of
// context (see EvalResult::by_position).
class MetricsFile {
 public:
  using Field = std::pair<std::string, std::variant<std::int64_t, double, std::string,
                                                    std::vector<std::int64_t>, std::vector<double>>>;

  // Continues an existing file: lines of steps after `resumed_step`, which will be run again, and a torn last
  // line are dropped.
  MetricsFile(const std::filesystem::path& path, std::uint64_t resumed_step);
  void write(const std::vector<Field>& fields);

 private:
  std::filesystem::path path_;
  std::ofstream out_;
  bool failing_ = false;  // the last write did
};

}  // namespace rt
