#include "cuda/dist/nccl_api.h"

#include <dlfcn.h>

#include <cstdlib>

#include "rt/core/error.h"

namespace rt::dist::nccl {
namespace {

constexpr const char* kInstall =
    "Install NCCL (libnccl2), or set RT_NCCL_LIBRARY to the path of a libnccl.so.2 of version 2.18 or newer";

class Library {
 public:
  explicit Library(const std::string& path)
      : path_(path), handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_) return;
    const char* const why = dlerror();
    fail(Exit::Config, "several GPUs need NCCL, which cannot be loaded: {}. {}.", why ? why : path.c_str(),
         kInstall);
  }
  template <class Function>
  void find(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(dlsym(handle_, name));
    if (!function) fail(Exit::Config, "{} has no {}: it is no NCCL, or too old. {}.", path_, name, kInstall);
  }

 private:
  std::string path_;
  void* handle_;
};

}  // namespace

std::string version_text(int version) {
  if (version < 10000)  // as up to 2.8
    version = version_code(version / 1000, version / 100 % 10, version % 100);
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

Api load() {
  const char* const named = std::getenv("RT_NCCL_LIBRARY");
  Api api{};
  api.library = named && *named ? named : "libnccl.so.2";
  const Library library(api.library);
  library.find(api.get_version, "ncclGetVersion");
  if (api.get_version(&api.version) != Result::Success || api.version < kOldest)
    fail(Exit::Config, "{} is NCCL {}, but 2.18 or newer is needed. {}.", api.library,
         version_text(api.version), kInstall);
  library.find(api.get_unique_id, "ncclGetUniqueId");
  library.find(api.get_error_string, "ncclGetErrorString");
  library.find(api.get_last_error, "ncclGetLastError");
  library.find(api.comm_init_rank_config, "ncclCommInitRankConfig");
  library.find(api.comm_get_async_error, "ncclCommGetAsyncError");
  library.find(api.comm_finalize, "ncclCommFinalize");
  library.find(api.comm_destroy, "ncclCommDestroy");
  library.find(api.comm_abort, "ncclCommAbort");
  library.find(api.all_reduce, "ncclAllReduce");
  library.find(api.reduce_scatter, "ncclReduceScatter");
  library.find(api.all_gather, "ncclAllGather");
  library.find(api.broadcast, "ncclBroadcast");
  library.find(api.send, "ncclSend");
  library.find(api.recv, "ncclRecv");
  library.find(api.group_start, "ncclGroupStart");
  library.find(api.group_end, "ncclGroupEnd");
  return api;
}

}  // namespace rt::dist::nccl
