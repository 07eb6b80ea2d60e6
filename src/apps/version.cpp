#include "apps/version.h"

#include "apps/cpu_features.h"
#include "rt/core/device.h"
#include "rt/core/error.h"
#include "version_info.h"

namespace rt {
namespace {

std::string compiler() {
#if defined(__clang__)
  return format("clang {}", __clang_version__);
#else
  return format("g++ {}", __VERSION__);
#endif
}

}  // namespace

std::string version_text(const std::string& program) {
  std::string text = format("{} {}\n", program, RT_VERSION);
  text += format("commit    {}\n", RT_COMMIT);
  text += format("compiler  {}\n", compiler());
  text += format("cpu       {}\n", describe_cpu_features());
  text += format("gemm      {}\n", RT_GEMM_NAME);
  text += format("cuda      {}\n",
                 built_with_cuda() ? format("yes, {} devices", cuda_device_count()) : std::string("no"));
  return text;
}

}  // namespace rt
