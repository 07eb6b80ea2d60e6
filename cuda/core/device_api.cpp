#include "rt/core/device_api.h"

#include <cuda_runtime_api.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "cuda/core/check.h"
#include "rt/core/error.h"

namespace rt::cuda {
namespace {

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw_failed_call(error, what);
}

constexpr int kMaxDevices = 64;

std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

// Why there is no device, with what to do about it.
std::string explain(cudaError_t error) {
  if (error == cudaErrorNoDevice) {
    return "no CUDA device is visible (see nvidia-smi and CUDA_VISIBLE_DEVICES)";
  }
  if (error == cudaErrorInsufficientDriver) {
    int driver = 0, runtime = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || cudaRuntimeGetVersion(&runtime) != cudaSuccess ||
        driver == 0) {
      return "no CUDA driver is installed";
    }
    return "the driver is too old: it supports CUDA " + version(driver) + ", this build needs " +
           version(runtime);
  }
  return error_line(error, "looking for devices");
}

int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;  // count is untouched on an error
}

// A process uses one device, so whatever needs a current device leaves it current. (Going back to another one
// would create a context there.)
std::atomic<int> process_device{0};

void use(int index) {
  int current = 0;
  RT_CUDA_CHECK(cudaGetDevice(&current));
  if (index != current) RT_CUDA_CHECK(cudaSetDevice(index));
  process_device = index;
}

// Allocations come from the device's pool, which keeps what is freed. What has no stream of its own is
// allocated and freed on `stream`, which does not wait for the default stream.
struct Memory {
  cudaStream_t stream = nullptr;
  cudaMemPool_t pool = nullptr;  // null: the device has none, and cudaMalloc is used
};

Memory open_memory(int index) {
  use(index);
  Memory memory;
  int pools = 0;
  RT_CUDA_CHECK(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, index));
  if (!pools) return memory;
  RT_CUDA_CHECK(cudaStreamCreateWithFlags(&memory.stream, cudaStreamNonBlocking));
  RT_CUDA_CHECK(cudaDeviceGetDefaultMemPool(&memory.pool, index));
  std::uint64_t keep = UINT64_MAX;
  RT_CUDA_CHECK(cudaMemPoolSetAttribute(memory.pool, cudaMemPoolAttrReleaseThreshold, &keep));
  return memory;
}

// Opened at first use; lives until the process ends, as the driver may be gone before static destructors run.
const Memory& memory_of(int index) {
  struct Slot {
    std::once_flag once;
    Memory memory;
  };
  static auto* slots = new std::array<Slot, kMaxDevices>;
  RT_CHECK(index >= 0 && index < kMaxDevices, "cuda: device {}", index);
  Slot& slot = (*slots)[static_cast<std::size_t>(index)];
  std::call_once(slot.once, [&] { slot.memory = open_memory(index); });
  return slot.memory;
}

void synchronize(int index) {
  use(index);
  RT_CUDA_CHECK(cudaDeviceSynchronize());
}

std::size_t free_memory(int index) {
  use(index);
  std::size_t available = 0, total = 0;
  RT_CUDA_CHECK(cudaMemGetInfo(&available, &total));
  const Memory& memory = memory_of(index);
  if (!memory.pool) return available;
  // What the pool holds unused is as good as free.
  std::uint64_t reserved = 0, used = 0;
  RT_CUDA_CHECK(cudaMemPoolGetAttribute(memory.pool, cudaMemPoolAttrReservedMemCurrent, &reserved));
  RT_CUDA_CHECK(cudaMemPoolGetAttribute(memory.pool, cudaMemPoolAttrUsedMemCurrent, &used));
  return available + static_cast<std::size_t>(reserved - used);
}

std::string gib(std::size_t bytes) {
  const std::size_t hundredths = (bytes * 25 + (std::size_t{1} << 27)) >> 28;  // of a GiB
  const std::string fraction = std::to_string(hundredths % 100);
  return std::to_string(hundredths / 100) + (fraction.size() == 1 ? ".0" : ".") + fraction + " GiB";
}

[[noreturn]] void fail_memory(int index, std::size_t bytes) {
  std::size_t available = 0, total = 0;
  if (cudaMemGetInfo(&available, &total) != cudaSuccess) cudaGetLastError();
  fail(Exit::Memory,
       "cuda:{}: cannot allocate {} bytes ({}): {} of {} are free. Lower batch.micro_sequences or "
       "data.seq_len, or set parallel.recompute: block.",
       index, bytes, gib(bytes), gib(available), gib(total));
}

cudaError_t try_alloc(const Memory& memory, void** ptr, std::size_t bytes, cudaStream_t stream) {
  if (!memory.pool) return cudaMalloc(ptr, bytes);
  if (stream) return cudaMallocAsync(ptr, bytes, stream);
  const cudaError_t error = cudaMallocAsync(ptr, bytes, memory.stream);
  // Any stream may use it from now on.
  return error == cudaSuccess ? cudaStreamSynchronize(memory.stream) : error;
}

void* alloc(int index, std::size_t bytes, void* stream) {
  const Memory& memory = memory_of(index);
  use(index);
  const auto on = static_cast<cudaStream_t>(stream);
  void* ptr = nullptr;
  cudaError_t error = try_alloc(memory, &ptr, bytes, on);
  if (error == cudaErrorMemoryAllocation && memory.pool) {
    // The pool may hold enough in pieces of the wrong sizes.
    cudaGetLastError();
    RT_CUDA_CHECK(cudaDeviceSynchronize());
    RT_CUDA_CHECK(cudaMemPoolTrimTo(memory.pool, 0));
    error = try_alloc(memory, &ptr, bytes, on);
  }
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail_memory(index, bytes);
  }
  check(error, "allocation");
  return ptr;
}

// Without a stream, waits for whatever may still use the memory.
void free(int index, void* ptr, std::size_t, void* stream) noexcept {
  try {
    const Memory& memory = memory_of(index);
    use(index);
    if (!stream) RT_CUDA_CHECK_NOTHROW(cudaDeviceSynchronize());
    if (!memory.pool) {
      RT_CUDA_CHECK_NOTHROW(cudaFree(ptr));
    } else {
      RT_CUDA_CHECK_NOTHROW(cudaFreeAsync(ptr, stream ? static_cast<cudaStream_t>(stream) : memory.stream));
    }
  } catch (const Error&) {}
}

// Runs `submit` in the order of `stream`. Without one: after all work on the device, done on return.
template <class Submit>
void ordered(void* stream, const char* what, const Submit& submit) {
  use(process_device);  // also on threads that have not chosen a device: they would open another one
  if (stream) return check(submit(static_cast<cudaStream_t>(stream)), what);
  check(cudaDeviceSynchronize(), what);
  check(submit(cudaStreamPerThread), what);
  check(cudaStreamSynchronize(cudaStreamPerThread), what);
}

// From pageable host memory the runtime stages before it returns, and into it, it waits: host memory is free
// for reuse on return. With page-locked memory only when the stream gets there.
void copy(void* to, const void* from, std::size_t bytes, void* stream) {
  ordered(stream, "copy",
          [=](cudaStream_t on) { return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, on); });
}

void fill(void* to, int byte, std::size_t bytes, void* stream) {
  ordered(stream, "fill", [=](cudaStream_t on) { return cudaMemsetAsync(to, byte, bytes, on); });
}

// The calling thread has the device current afterwards, and is the one to launch on the stream.
void* stream_create(int index) {
  const std::string problem = device_problem();
  if (!problem.empty()) fail(Exit::Config, "device: {}", problem);
  use(index);
  cudaStream_t stream = nullptr;
  RT_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return stream;
}

void* event_record(void* stream) {
  cudaEvent_t event = nullptr;
  // Blocking: a host that waits for one is ahead of the device, and leaves its core to others meanwhile.
  RT_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync));
  const cudaError_t error = cudaEventRecord(event, static_cast<cudaStream_t>(stream));
  if (error != cudaSuccess) RT_CUDA_CHECK_NOTHROW(cudaEventDestroy(event));
  check(error, "recording an event");
  return event;
}

bool event_query(void* event) {
  use(process_device);  // see ordered()
  const cudaError_t error = cudaEventQuery(static_cast<cudaEvent_t>(event));
  if (error != cudaErrorNotReady) check(error, "asking for an event");
  static_cast<void>(cudaGetLastError());  // of this thread: it is no error of a launch that follows
  return error == cudaSuccess;
}

constexpr DeviceApi kApi = {
    .count = device_count,
    .alloc = alloc,
    .free = free,
    .copy = copy,
    .fill = fill,
    .stream_create = stream_create,
    .stream_destroy =
        [](void* stream) noexcept {
          RT_CUDA_CHECK_NOTHROW(cudaStreamDestroy(static_cast<cudaStream_t>(stream)));
        },
    .stream_synchronize =
        [](void* stream) { RT_CUDA_CHECK(cudaStreamSynchronize(static_cast<cudaStream_t>(stream))); },
    .event_record = event_record,
    .event_wait =
        [](void* stream, void* event) {
          RT_CUDA_CHECK(
              cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(event), 0));
        },
    .event_synchronize =
        [](void* event) { RT_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(event))); },
    .event_query = event_query,
    .event_destroy =
        [](void* event) noexcept {
          RT_CUDA_CHECK_NOTHROW(cudaEventDestroy(static_cast<cudaEvent_t>(event)));
        },
    .synchronize = synchronize,
    .free_memory = free_memory,
};

}  // namespace

const DeviceApi* device_api_table() noexcept { return &kApi; }

std::string device_problem() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess) return count > 0 ? "" : explain(cudaErrorNoDevice);
  cudaGetLastError();
  return explain(error);
}

void* pinned_alloc(std::size_t bytes) {
  void* ptr = nullptr;
  if (cudaHostAlloc(&ptr, bytes, cudaHostAllocDefault) != cudaSuccess) {
    cudaGetLastError();
    fail(Exit::Memory, "cuda: cannot allocate {} bytes of page-locked host memory", bytes);
  }
  std::memset(ptr, 0, bytes);
  return ptr;
}

void pinned_free(void* ptr) noexcept { RT_CUDA_CHECK_NOTHROW(cudaFreeHost(ptr)); }

}  // namespace rt::cuda
