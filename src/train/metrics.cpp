#include "rt/train/metrics.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/io/file.h"

namespace rt {

MetricsFile::MetricsFile(const std::filesystem::path& path, std::uint64_t resumed_step) : path_(path) {
  if (std::filesystem::exists(path)) {
    std::ifstream in(path);
    std::string kept;
    for (std::string line; std::getline(in, line);) {
      const auto object = nlohmann::json::parse(line, nullptr, false);
      if (!object.is_object() || object.value("step", std::uint64_t{0}) > resumed_step) continue;
      kept += line + "\n";
    }
    io::atomic_write(path, kept);
  }
  out_.open(path, std::ios::app);
  if (!out_) fail(Exit::Failure, "{}: cannot be written.", path.string());
}

void MetricsFile::write(const std::vector<Field>& fields) {
  nlohmann::ordered_json object;
  for (const auto& [key, value] : fields) {
    std::visit([&, &name = key](const auto& v) { object[name] = v; }, value);
  }
  // A full disk costs lines, and not the run.
  out_ << (failing_ ? "\n" : "") << object.dump() << '\n' << std::flush;
  if (!out_ && !failing_)
    log::warn("metrics", "{}: write failed; is the disk full? Lines are lost.", path_.string());
  failing_ = !out_;
  out_.clear();
}

}  // namespace rt
