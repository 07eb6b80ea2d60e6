#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "rt/core/error.h"
#include "rt/io/file.h"
#include "rt/io/safetensors.h"
#include "rt/io/testing.h"

namespace rt::io::test {

namespace fs = std::filesystem;

// A directory that is gone when the test is. In memory where the system has that: hundreds of fsyncs are
// quick there.
class TempDir {
 public:
  TempDir() {
    const fs::path memory = "/dev/shm";
    const auto parent = access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
    auto pattern = (parent / "rt_io_XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "mkdtemp failed";
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct HookGuard {
  explicit HookGuard(testing::FaultHook hook) { testing::set_fault_hook(std::move(hook)); }
  ~HookGuard() { testing::set_fault_hook({}); }
  HookGuard(const HookGuard&) = delete;
  HookGuard& operator=(const HookGuard&) = delete;
};

inline std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream content;
  content << in.rdbuf();
  return std::move(content).str();
}

inline void spill(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// An allocation of exactly this size, so that a sanitizer sees a read of one
// byte too many.
inline std::vector<std::byte> exact_bytes(const std::string& text) {
  std::vector<std::byte> out(text.size());
  if (!text.empty()) std::memcpy(out.data(), text.data(), text.size());
  return out;
}

// Runs f, expects an rt::Error of one line that contains every part, and
// returns the line.
template <class F>
std::string expect_error(Exit code, F&& f, const std::vector<std::string>& parts) {
  try {
    f();
  } catch (const Error& e) {
    std::string what = e.what();
    EXPECT_EQ(e.code(), code) << what;
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    for (const auto& part : parts)
      EXPECT_NE(what.find(part), std::string::npos) << "\"" << part << "\" not in: " << what;
    return what;
  }
  ADD_FAILURE() << "no error, expected one about " << (parts.empty() ? "" : parts.front());
  return {};
}

inline fs::path golden(const std::string& name) { return fs::path(RT_SOURCE_DIR) / "tests/golden" / name; }

template <class T>
NamedTensor named(const std::string& name, std::vector<T>& data, Shape shape) {
  return {name, TensorView(data.data(), shape, dtype_of<T>)};
}

}  // namespace rt::io::test
