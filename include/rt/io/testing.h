#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>

// Fault injection for tests: every system call that changes the disk passes through the hook.
namespace rt::io::testing {

enum class FileOp { Open, Write, Sync, Close, Rename, Exchange, MakeDirectory, Remove };

struct FileEvent {
  FileOp op;
  bool done;                   // false: about to happen; true: has happened
  std::filesystem::path path;  // of a rename: the new name
  std::size_t bytes = 0;       // of a write
};

struct Fault {
  int error = 0;                     // an errno: the operation is not performed and fails with it
  std::size_t max_bytes = SIZE_MAX;  // a write writes at most this much and reports so, as write(2) may
};

// What the hook returns is used for events with done == false only. An empty function removes the hook. The
// hook is called under a lock: from one thread at a time.
using FaultHook = std::function<Fault(const FileEvent&)>;
void set_fault_hook(FaultHook hook);

}  // namespace rt::io::testing
