#pragma once
#include <cstring>
#include <map>

#include "tests/apps/apps_support.h"

// Runs of several processes, and what is left of them to be compared.
namespace rt::apps_test {

class ClusterProgram : public Program {
 protected:
  static constexpr int kSteps = 12;

  // Weights that would not be equal by chance: more layers than slots, an odd vocabulary part, several units.
  Words train(const std::string& name, int processes, Words settings = {},
              const std::string& program = "rwkv-train") {
    Words words = {program,   config(name),
                   "--nproc", std::to_string(processes),
                   "--set",   "model.layers=4",
                   "--set",   "batch.global_tokens=512",
                   "--set",   "budget.steps=" + std::to_string(kSteps),
                   "--set",   "eval.every=5steps"};
    for (const std::string& setting : settings) words.insert(words.end(), {"--set", setting});
    return words;
  }

  std::string state(const std::string& name, int step = kSteps) const {
    std::string all;
    for (const char* file : {"model.safetensors", "optimizer.safetensors"})
      all += slurp(checkpoint(step, name) / file);
    return all;
  }

  // All weights, in the order of the file.
  std::vector<double> numbers(const std::string& name, int step = kSteps) const {
    const std::string file = slurp(checkpoint(step, name) / "model.safetensors");
    std::uint64_t header = 0;
    std::memcpy(&header, file.data(), sizeof header);
    std::vector<float> all((file.size() - 8 - header) / sizeof(float));
    std::memcpy(all.data(), file.data() + 8 + header, all.size() * sizeof(float));
    return {all.begin(), all.end()};
  }

  std::vector<double> losses(const std::string& name) const {
    std::vector<double> found;
    std::ifstream in(run_dir(name) / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      const auto json = nlohmann::json::parse(line);
      if (json.contains("grad_norm") && !json.contains("event")) found.push_back(json["loss"].get<double>());
    }
    return found;
  }

  // Of validation, which processes share.
  std::string evaluations(const std::string& name) const {
    std::string found;
    std::ifstream in(run_dir(name) / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      auto json = nlohmann::json::parse(line);
      json.erase("seconds");
      if (json.contains("event")) found += json.dump() + "\n";
    }
    return found;
  }
};

}  // namespace rt::apps_test
