// Who may include what. The tables are the documentation: a module uses those in its row and its own headers,
// a third-party library is seen by the files that own it. CMake's private links catch most of this at compile
// time; header-only libraries and the rules inside a module are caught here.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

// Each module and what it may use: modules, or single headers. A row uses rows above it only: no cycles.
const std::vector<std::pair<std::string, Texts>> kModules = {
    {"core", {}},
    {"autograd", {"core"}},
    {"ops", {"core", "autograd"}},
    {"nn", {"core", "autograd", "ops"}},
    {"optim", {"core", "autograd", "ops", "rt/nn/param_store.h"}},
    {"dist", {"core"}},
    {"data", {"core"}},
    {"io", {"core"}},
    {"config", {"core"}},
    {"infer", {"core", "autograd", "ops", "nn", "data", "io", "config"}},
    {"train", {"core", "autograd", "ops", "nn", "optim", "dist", "data", "io", "config", "infer"}},
    {"apps", {"core", "autograd", "ops", "nn", "optim", "dist", "data", "io", "config", "infer", "train"}},
    {"cuda", {"core", "ops", "dist", "rt/autograd/parameter.h"}},
};

struct Owned {
  Texts headers, owners;
};
const std::vector<Owned> kThirdParty = {
    {{"spdlog/", "fmt/"}, {"src/core/log.cpp"}},
    {{"yaml-cpp/"}, {"src/config/", "tests/docker/"}},
    {{"nlohmann/"}, {"src/data/", "src/io/", "src/train/", "src/apps/", "tests/"}},
    {{"Eigen/", "unsupported/Eigen/", "dnnl*", "oneapi/", "omp.h"}, {"src/ops/cpu/"}},
    {{"xxhash.h"}, {"src/data/", "src/io/"}},
    {{"pcre2.h"}, {"src/data/regex_splitter.cpp"}},
    {{"simdjson.h"}, {"src/data/json_field.cpp"}},
    {{"zlib.h"}, {"src/data/gzip_source.cpp", "tests/data/"}},
    {{"zstd.h"}, {"src/data/zstd_source.cpp", "tests/data/"}},
    {{"sentencepiece_processor.h"}, {"src/data/sentencepiece_tokenizer.cpp"}},
    {{"gloo/"}, {"src/dist/gloo_communicator.cpp", "src/dist/gloo_mesh.h", "src/dist/gloo_mesh.cpp"}},
    {{"CLI/"}, {"src/apps/"}},
    {{"gtest/"}, {"tests/"}},
    {{"cuda*", "cublas*", "nvtx3/", "mma.h"}, {"cuda/"}},
    {{"nccl.h"}, {"tests/cuda/nccl/nccl_abi_test.cpp"}},  // cuda/ declares what it uses itself
    // The system's own: anywhere but in public headers.
    {{"sys/",     "netinet/", "arpa/",    "unistd.h",   "fcntl.h",   "sched.h",     "poll.h",
      "signal.h", "dlfcn.h",  "netdb.h",  "pthread.h",  "termios.h", "immintrin.h", "cxxabi.h",
      "endian.h", "string.h", "stdlib.h", "ucontext.h", "fnmatch.h", "sanitizer/"},
     {"src/", "cuda/", "tests/"}},
};

// Build flags and the only places that may test them.
const std::map<std::string, Texts> kFlags = {
    {"RT_CUDA_EMULATION", {"cuda/device.h", "cuda/core/", "cuda/emulation/", "tests/cuda/"}},
    {"RT_WITH_ONEDNN", {"src/ops/cpu/"}},
    {"RT_WITH_PCRE2", {"src/data/regex_splitter.cpp"}},
    {"RT_WITH_SENTENCEPIECE", {"src/data/sentencepiece_tokenizer.cpp"}},
    {"RT_WITH_GLOO", {"src/dist/gloo_communicator.cpp", "src/dist/gloo_mesh.cpp"}},
};

constexpr std::int64_t kMaxLines = 300;

bool starts(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

std::string_view unindented(std::string_view line) {
  return line.substr(std::min(line.find_first_not_of(" \t"), line.size()));
}

// Patterns: an exact name, or what it begins with followed by '/' (kept) or '*' (dropped).
bool within(std::string_view name, const Texts& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](std::string_view p) {
    if (p.back() == '*') return starts(name, p.substr(0, p.size() - 1));
    return p.back() == '/' ? starts(name, p) : name == p;
  });
}

const Texts* module_row(const std::string& module) {
  for (const auto& [name, uses] : kModules)
    if (name == module) return &uses;
  return nullptr;
}

// "rt/ops/wkv7.h" -> "ops"
std::string public_module(const std::string& header) { return header.substr(3, header.find('/', 3) - 3); }

// "include/rt/ops/wkv7.h" and "src/ops/ref/wkv7.cpp" -> "ops"; "cuda/..." -> "cuda"; tests have none.
std::string module_of(const std::string& path) {
  if (starts(path, "cuda/")) return "cuda";
  for (const std::string_view top : {"include/rt/", "src/"})
    if (starts(path, top)) return path.substr(top.size(), path.find('/', top.size()) - top.size());
  return {};
}

// The reason why `path` may not include `header` (written with quotes), or nothing.
std::string quoted_fault(const std::string& path, const std::string& header) {
  const std::string module = module_of(path), first = header.substr(0, header.find('/'));
  if (first == "experiments") return "experiments/ is included by nothing";
  if (module.empty()) return {};  // tests see every header, private ones included
  if (first == "tests") return "tests/ is included by tests only";
  if (header == "version_info.h") return module == "core" || module == "apps" ? "" : "for core and apps";
  if (first == header) return "write the path from include/ or src/";
  if (first == "cuda") return module == "cuda" ? "" : "host code includes nothing from cuda/";
  if (first != "rt") {
    if (starts(path, "include/")) return "a public header includes a private one";
    if (first != module) return "private to module " + first;
  }
  const std::string owner = first == "rt" ? public_module(header) : first;
  if (!module_row(owner)) return "no such module";
  // Reference and CPU kernels know views and their own op, so they can be used and tested without the tape.
  for (const std::string_view kernels : {"ops/ref/", "ops/cpu/"}) {
    if (!starts(path, "src/" + std::string(kernels))) continue;
    if (starts(header, "rt/core/") || starts(header, kernels)) return {};
    if (header == "rt/autograd/parameter.h" || header == "rt/ops/op.h") return {};
    const std::string stem = fs::path(path).stem(), op = fs::path(header).stem();
    if (starts(header, "rt/ops/") && (stem == op || starts(stem, op + "_"))) return {};
    return "kernels include core, autograd/parameter.h, their own op and headers beside them";
  }
  const Texts& uses = *module_row(module);
  const auto allowed = [&](const std::string& use) { return use == owner || use == header; };
  if (owner == module || std::any_of(uses.begin(), uses.end(), allowed)) return {};
  return "module " + module + " does not use " + owner;
}

std::string bracketed_fault(const std::string& path, const std::string& header) {
  if (header.find_first_of("./") == std::string::npos) return {};  // the standard library
  for (const Owned& library : kThirdParty) {
    if (!within(header, library.headers)) continue;
    return within(path, library.owners) ? "" : "belongs to " + library.owners.front() + " alone";
  }
  return "unknown: give it an owner in tests/layering_test.cpp";
}

// The faults of one file, each "path:line: what".
Texts check_file(const std::string& path, const std::string& text) {
  Texts faults;
  std::int64_t number = 0;
  const auto fault = [&](const std::string& what) {
    faults.push_back(path + ":" + std::to_string(number) + ": " + what);
  };
  if (!module_of(path).empty() && !module_row(module_of(path))) {
    fault("no such module");
    return faults;
  }
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    ++number;
    std::string_view rest = unindented(line);
    for (const auto& [flag, places] : kFlags)
      if (!starts(path, "tests/") && line.find(flag) != std::string::npos && !within(path, places))
        fault(flag + " is known elsewhere only");
    if (!starts(rest, "#")) continue;
    rest = unindented(rest.substr(1));
    const bool condition = starts(rest, "if") || starts(rest, "elif");
    if (condition && starts(path, "include/") && rest.find("RT_") != rest.npos)
      fault("a public header does not depend on build flags");
    if (!starts(rest, "include")) continue;
    rest = unindented(rest.substr(7));
    const std::size_t end = rest.find_first_of("\">", 1);
    if (rest.empty() || end == std::string_view::npos) {
      fault("cannot read this include");
      continue;
    }
    const std::string header(rest.substr(1, end - 1));
    const bool ours = rest.front() == '"' || starts(header, "rt/");
    const std::string why = ours ? quoted_fault(path, header) : bracketed_fault(path, header);
    if (!why.empty()) fault(header + ": " + why);
  }
  if (number > kMaxLines) fault("longer than " + std::to_string(kMaxLines) + " lines: split it");
  return faults;
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Layering, TheTreeKeepsToTheTables) {
  const fs::path root = RT_SOURCE_DIR;
  const std::set<std::string> kinds = {".h", ".cpp", ".cu", ".cuh"};
  std::string all;
  std::size_t files = 0;
  for (const char* top : {"include", "src", "cuda", "tests"}) {
    if (!fs::exists(root / top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      if (!entry.is_regular_file() || !kinds.count(entry.path().extension())) continue;
      ++files;
      for (const std::string& fault : check_file(entry.path().lexically_relative(root), read(entry.path())))
        all += "\n  " + fault;
    }
  }
  EXPECT_GT(files, 20u) << root;
  EXPECT_EQ(all, "");
}

TEST(Layering, ModulesFormNoCycle) {
  std::set<std::string> above;
  for (const auto& [name, uses] : kModules) {
    for (const std::string& use : uses) {
      const std::string module = starts(use, "rt/") ? public_module(use) : use;
      EXPECT_TRUE(above.count(module)) << name << " uses " << use << ", which is not above it";
    }
    above.insert(name);
  }
}

// The links of src/CMakeLists.txt are no wider than the table.
TEST(Layering, LinksAgreeWithTheTable) {
  std::istringstream in(read(fs::path(RT_SOURCE_DIR) / "src/CMakeLists.txt"));
  int seen = 0;
  for (std::string line; std::getline(in, line);) {
    if (!starts(line, "rt_module(")) continue;
    std::istringstream words(line.substr(10, line.find(')') - 10));
    std::string module, word;
    words >> module >> word;  // DEPS, or PRIVATE where there are none
    const Texts* uses = module_row(module);
    ASSERT_TRUE(uses) << line;
    ++seen;
    while (word != "PRIVATE" && words >> word && word != "PRIVATE") {
      if (word == "LIGHT" || word == "OWN_FLAGS") continue;
      const bool allowed = std::any_of(uses->begin(), uses->end(), [&](const std::string& use) {
        return use == word || starts(use, "rt/" + word + "/");
      });
      EXPECT_TRUE(allowed) << module << " links " << word;
    }
  }
  EXPECT_GE(seen, 8);
}

struct Sample {
  const char *path, *line;
};

TEST(Layering, FindsSeededViolations) {
  const Sample samples[] = {
      {"include/rt/core/a.h", "#include \"cuda/device.h\""},
      {"include/rt/core/a.h", "#include <Eigen/Core>"},
      {"include/rt/core/a.h", "#include <unistd.h>"},
      {"include/rt/core/a.h", "#ifdef RT_DEBUG"},
      {"include/rt/core/a.h", "  #  if defined(RT_SOMETHING)"},
      {"include/rt/core/a.h", "#include \"core/sys.h\""},
      {"src/strange/a.cpp", "#include \"rt/core/dtype.h\""},
      {"src/autograd/tape.cpp", "#include \"rt/ops/wkv7.h\""},
      {"src/optim/adamw.cpp", "#include \"rt/nn/language_model.h\""},
      {"src/config/parse.cpp", "#include \"rt/data/tokenizer.h\""},
      {"src/data/a.cpp", "#include \"io/zip.h\""},
      {"src/data/a.cpp", "#include <yaml-cpp/yaml.h>"},
      {"src/core/error.cpp", "#include <spdlog/spdlog.h>"},
      {"src/ops/linear.cpp", "#include <dnnl.h>"},
      {"src/config/a.cpp", "#include <xxhash.h>"},
      {"src/train/a.cpp", "#include <CLI/CLI.hpp>"},
      {"src/io/a.cpp", "#include <gtest/gtest.h>"},
      {"src/io/a.cpp", "#include <boost/any.hpp>"},
      {"src/ops/wkv7.cpp", "#include <cuda_runtime.h>"},
      {"src/ops/wkv7.cpp", "#ifdef RT_CUDA_EMULATION"},
      {"src/ops/wkv7.cpp", "#include \"wkv7.h\""},
      {"src/ops/ref/wkv7.cpp", "#include \"rt/autograd/tape.h\""},
      {"src/ops/ref/wkv7.cpp", "#include \"rt/ops/layer_norm.h\""},
      {"src/ops/cpu/wkv7.cpp", "#include \"ops/ref/accumulate.h\""},
      {"src/train/a.cpp", "#include \"experiments/bench/timer.h\""},
      {"src/train/a.cpp", "#include \"tests/support/tolerance.h\""},
      {"src/train/a.cpp", "#include CONFIG_HEADER"},
      {"tests/core/a_test.cpp", "#include \"experiments/bench/timer.h\""},
      {"cuda/ops/wkv7.cu", "#include \"rt/nn/block.h\""},
  };
  for (const Sample& s : samples)
    EXPECT_EQ(check_file(s.path, std::string("\n") + s.line + "\n").size(), 1u) << s.path << ": " << s.line;
  const std::string longest(static_cast<std::size_t>(kMaxLines), '\n');
  EXPECT_EQ(check_file("src/nn/a.cpp", longest).size(), 0u);
  EXPECT_EQ(check_file("src/nn/a.cpp", longest + "\n").size(), 1u);
}

TEST(Layering, AllowsWhatTheTablesAllow) {
  const Sample samples[] = {
      {"include/rt/ops/wkv7.h", "#include \"rt/autograd/parameter.h\""},
      {"src/ops/cpu/wkv7_backward.cpp", "#include \"rt/ops/wkv7.h\""},
      {"cuda/device.h", "#ifdef RT_CUDA_EMULATION"},
      {"src/data/a.cpp", "// #include <yaml-cpp/yaml.h>"},
      {"tests/io/zip_test.cpp", "#include \"io/zip.h\""},
      {"cuda/core/cublas.cpp", "#include <cublasLt.h>"},
  };
  for (const Sample& s : samples) EXPECT_EQ(check_file(s.path, s.line), Texts{}) << s.path << ": " << s.line;
}

}  // namespace
