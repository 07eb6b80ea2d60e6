#pragma once
#include "tests/apps/cluster_support.h"

// The disk of the processes of a run, as disk_faults.cpp shows it to them.
namespace rt::apps_test {

// While it lives, what is started has this disk. A fault is "RANK OP PATH NUMBER WHAT".
class DiskFaults {
 public:
  explicit DiskFaults(const fs::path& dir, const Words& faults = {}) {
    fs::create_directories(dir);
    std::string list;
    for (const std::string& fault : faults) list += fault + ";";
    setenv("RT_DISK_DIR", dir.c_str(), 1);
    setenv("RT_DISK_FAULTS", list.c_str(), 1);
    setenv("LD_PRELOAD", RT_DISK_FAULTS, 1);
  }
  ~DiskFaults() {
    for (const char* name : {"LD_PRELOAD", "RT_DISK_FAULTS", "RT_DISK_DIR"}) unsetenv(name);
  }
  DiskFaults(const DiskFaults&) = delete;
  DiskFaults& operator=(const DiskFaults&) = delete;
};

struct DiskCall {
  int rank = 0;
  std::string op, path;
  int number = 0;
  std::uint64_t offset = 0, bytes = 0;
  std::string fault(const std::string& what) const {
    return std::to_string(rank) + " " + op + " " + path + " " + std::to_string(number) + " " + what;
  }
};

// By rank, in the order in which each was about to make them.
inline std::vector<DiskCall> disk_calls(const fs::path& dir, int world) {
  std::vector<DiskCall> all;
  for (int rank = 0; rank < world; ++rank) {
    std::ifstream in(dir / ("rank" + std::to_string(rank)));
    for (DiskCall c{rank, "", ""}; in >> c.op >> c.path >> c.number >> c.offset >> c.bytes;) all.push_back(c);
  }
  return all;
}

// What a save leaves when it is killed, and the next one or the next start removes.
inline Words leftovers(const fs::path& run_dir) {
  Words found;
  std::error_code none;
  for (const auto& entry : fs::recursive_directory_iterator(run_dir, none)) {
    const std::string name = entry.path().filename(), parent = entry.path().parent_path().filename();
    if (name.ends_with(".tmp") || name.ends_with(".old") || parent == ".trash" || name == "quarantine")
      found.push_back(entry.path().string());
  }
  return found;
}

}  // namespace rt::apps_test
