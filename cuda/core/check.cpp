#include "cuda/core/check.h"

#include "rt/core/error.h"
#include "rt/core/log.h"

namespace rt::cuda {

bool is_sticky(cudaError_t error) noexcept {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorExternalDevice: return true;
    default: return false;
  }
}

std::string error_line(cudaError_t error, const char* what) {
  std::string line = format("cuda: {}: {}: {}", what, cudaGetErrorName(error), cudaGetErrorString(error));
  // Errors of kernels come up at any later call.
  if (is_sticky(error)) {
    line +=
        " (sticky: from this or an earlier kernel, RT_SYNC=1 tells which; this process cannot use the device "
        "any more)";
  }
  if (error == cudaErrorNoKernelImageForDevice) {
    line += " (this build has no code for the device's architecture: add it to RT_CUDA_ARCHITECTURES)";
  }
  return line;
}

void throw_failed_call(cudaError_t error, const char* what) {
  static_cast<void>(cudaGetLastError());  // unless it is sticky, it is reported once
  throw Error(error == cudaErrorMemoryAllocation ? Exit::Memory : Exit::Failure, error_line(error, what));
}

void log_failed_call(cudaError_t error, const char* what) noexcept {
  if (error == cudaErrorCudartUnloading) return;  // the process ends, and everything is freed
  static_cast<void>(cudaGetLastError());
  try {
    log::warn("cuda", "{}", error_line(error, what));
  } catch (...) {  // an unlogged warning is better than the end of the process
  }
}

}  // namespace rt::cuda
