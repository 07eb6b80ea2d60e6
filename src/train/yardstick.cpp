#include "rt/train/machine.h"

#include "rt/core/device_stats.h"
#include "rt/ops/gemm_rate.h"

namespace rt {

Yardstick measure_yardstick(Device device, DType compute) {
  if (device.kind == DeviceKind::Cpu) return {"sgemm", measure_sgemm_flops(), 0};
  const DeviceRates rates = cuda::matmul_rates ? cuda::matmul_rates(device.index, compute) : DeviceRates{};
  return {"matmul", rates.measured, rates.nominal};
}

}  // namespace rt
