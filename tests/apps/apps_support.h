#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

// Runs the built programs as a user would. Included by one file per program.
namespace rt::apps_test {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

inline std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void spew(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

struct Outcome {
  int status = -1;
  std::string out, err;
};

class Program : public ::testing::Test {
 protected:
  Program() {
    std::string name = (fs::temp_directory_path() / "rt-apps-XXXXXX").string();
    dir_ = mkdtemp(name.data());
  }
  ~Program() override { fs::remove_all(dir_); }

  // argv[0] is a name in bin/. Returns at once; the streams go to files.
  pid_t start(const Words& words, const std::string& input = "") {
    spew(dir_ / "stdin", input);
    std::vector<std::string> own = words;
    own[0] = std::string(RT_BINARY_DIR) + "/bin/" + words[0];
    std::vector<char*> argv;
    for (std::string& w : own) argv.push_back(w.data());
    argv.push_back(nullptr);
    const std::string in = dir_ / "stdin", out = dir_ / "stdout", err = dir_ / "stderr";
    for (const std::string& old : {out, err}) spew(old, "");  // or wait_for() finds what another one said
    const pid_t child = fork();
    if (child == 0) {
      setenv("RT_NUM_THREADS", "1", 1);
      dup2(open(in.c_str(), O_RDONLY), STDIN_FILENO);
      dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
      dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
      execv(argv[0], argv.data());
      _exit(127);
    }
    return child;
  }

  Outcome wait(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), slurp(dir_ / "stdout"),
            slurp(dir_ / "stderr")};
  }

  Outcome run(const Words& words, const std::string& input = "") { return wait(start(words, input)); }

  // Waits until the running program has printed `text` on stdout. False after a minute.
  bool wait_for(const std::string& text) const {
    for (int i = 0; i < 6000; ++i) {
      if (slurp(dir_ / "stdout").find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  // A run small enough that starting it takes longer than its steps.
  std::string config(const std::string& name = "tiny") {
    const fs::path file = dir_ / (name + ".yaml");
    spew(file,
         "version: 1\n"
         "run: {name: " +
             name + ", dir: \"" + (dir_ / "runs").string() +
             "/{name}\", seed: 7}\n"
             "model: {layers: 2, width: 32, head_size: 16}\n"
             "tokenizer: {type: bytes}\n"
             "data:\n"
             "  train: [{stories: {tokens: 20k, seed: 1}}]\n"
             "  valid: [{name: other, stories: {tokens: 2k, seed: 2}}]\n"
             "  seq_len: 32\n"
             "batch: {global_tokens: 128, micro_sequences: 2}\n"
             "optimizer: {type: adamw, lr: 1.0e-3}\n"
             "schedule: {type: constant}\n"
             "budget: {steps: 8}\n"
             "checkpoint: {every: {steps: 1000}}\n"
             "log: {every: 1steps, console: lines}\n");
    return file.string();
  }
  fs::path run_dir(const std::string& name = "tiny") const { return dir_ / "runs" / name; }
  fs::path checkpoint(int step, const std::string& name = "tiny") const {
    std::string digits = std::to_string(step);
    digits.insert(0, 8 - digits.size(), '0');
    return run_dir(name) / "checkpoints" / ("step-" + digits);
  }

  fs::path dir_;
};

inline std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// The program says one line on stderr, with `part` in it, and exits with `status`.
inline ::testing::AssertionResult refuses(const Outcome& o, int status, const std::string& part) {
  if (o.status == status && lines(o.err) == 1 && o.err.starts_with("error: ") &&
      o.err.find(part) != std::string::npos) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure()
         << "status " << o.status << "\nstdout: " << o.out << "\nstderr: " << o.err;
}

inline ::testing::AssertionResult succeeds(const Outcome& o) {
  if (o.status == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "status " << o.status << "\nstdout: " << o.out << "\nstderr: " << o.err;
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace rt::apps_test
