#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "rt/config/run_config.h"
#include "rt/core/error.h"

namespace rt::config {

using Overrides = std::vector<std::string>;

// A complete config of 12 lines; its data section ends the file so that tests can add lines to it.
inline const std::string kMinimal =
    "run: {name: t}\n"
    "model:\n"
    "  layers: 2\n"
    "  width: 64\n"
    "batch: {global_tokens: 1024}\n"
    "optimizer:\n"
    "  lr: 1e-3\n"
    "budget:\n"
    "  steps: 100\n"
    "data:\n"
    "  train: [{path: a.txt}]\n"
    "  seq_len: 64\n";

inline RunConfig parse(const std::string& yaml, const Overrides& overrides = {}) {
  return RunConfig::parse(yaml, "c.yaml", overrides);
}

// The message of the Exit::Config error that `act` throws, which must be one line.
inline std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::Config) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    return e.what();
  }
  return "no error";
}

inline std::string error_of(const std::string& yaml, const Overrides& overrides = {}) {
  return error_of([&] { parse(yaml, overrides); });
}

// A directory of its own, removed with everything in it.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rt_config_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { std::filesystem::remove_all(path_); }

  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return file.string();
  }
  std::string path(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace rt::config
