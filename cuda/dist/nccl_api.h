#pragma once
#include <climits>
#include <cstddef>
#include <string>

// What is used of NCCL, declared here, so that neither its header nor its library is needed to build: names
// and values are those of its public nccl.h, whose C interface is stable since 2.18.
namespace rt::dist::nccl {

using Comm = struct OpaqueComm*;
using NativeStream = struct OpaqueStream*;  // a cudaStream_t

struct UniqueId {
  char bytes[128];
};

enum class Result : int {
  Success = 0,
  InternalError = 3,
  InvalidArgument = 4,
  RemoteError = 6,
  InProgress = 7
};
enum class DataType : int { Uint8 = 1, Int32 = 2, Float32 = 7, Float64 = 8, Bfloat16 = 9 };
enum class RedOp : int { Sum = 0, Max = 2 };

constexpr int version_code(int major, int minor, int patch) { return major * 10000 + minor * 100 + patch; }
constexpr int kOldest = version_code(2, 18, 0);

// ncclConfig_t as 2.18 has it. Newer ones only add fields at the end: they read `size` bytes, and take their
// defaults for what is missing or newer than `version`.
struct Config {
  std::size_t size = sizeof(Config);
  unsigned magic = 0xcafebeef;
  unsigned version = kOldest;
  int blocking = 0;
  int cga_cluster_size = INT_MIN;  // INT_MIN, null: NCCL's default
  int min_ctas = INT_MIN, max_ctas = INT_MIN;
  const char* net_name = nullptr;
  int split_share = INT_MIN;
};

struct Api {
  std::string library;  // where it was found, or by what name
  int version = 0;      // version_code()
  Result (*get_version)(int* version);
  Result (*get_unique_id)(UniqueId* id);
  const char* (*get_error_string)(Result result);
  const char* (*get_last_error)(Comm comm);
  Result (*comm_init_rank_config)(Comm* comm, int size, UniqueId id, int rank, Config* config);
  Result (*comm_get_async_error)(Comm comm, Result* error);
  Result (*comm_finalize)(Comm comm);
  Result (*comm_destroy)(Comm comm);
  Result (*comm_abort)(Comm comm);
  Result (*all_reduce)(const void* in, void* out, std::size_t count, DataType, RedOp, Comm, NativeStream);
  Result (*reduce_scatter)(const void* in, void* out, std::size_t out_count, DataType, RedOp, Comm,
                           NativeStream);
  Result (*all_gather)(const void* in, void* out, std::size_t in_count, DataType, Comm, NativeStream);
  Result (*broadcast)(const void* in, void* out, std::size_t count, DataType, int root, Comm, NativeStream);
  Result (*send)(const void* from, std::size_t count, DataType, int peer, Comm, NativeStream);
  Result (*recv)(void* to, std::size_t count, DataType, int peer, Comm, NativeStream);
  Result (*group_start)();
  Result (*group_end)();
};

std::string version_text(int version);  // "2.28.9"

// From what RT_NCCL_LIBRARY names, else libnccl.so.2. It is never unloaded. Exit::Config.
Api load();

}  // namespace rt::dist::nccl
