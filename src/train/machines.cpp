// The scale model's table of machines. A constant is measured here, measured by others, or assumed; its
// comment says which. Sources:
//   [ours]   experiments/gpu/2026-11-27_h200, `rwkv bench kernels`: 791 TFLOP/s, copies of 4.17 TB/s (0.87
//   of 4.8) [mamf]   stas00/ml-engineering, compute/accelerator/README.md: "maximum achievable matmul FLOPS",
//   bf16 [net]    stas00/ml-engineering, network/README.md and network/benchmarks/: bus bandwidths of
//   all-reduce [nccl]   NVIDIA/nccl, src/graph/tuning.cc: hwLat of the simple protocol's ring per step
//   [sheet]  the maker's data sheet
#include "rt/train/machines.h"

#include <string>

#include "rt/core/error.h"

namespace rt {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
// Where nobody's measurement is at hand: what an H200's copy reaches of its data sheet [ours].
constexpr double kCopyShare = 4171.0 / 4800;
// All-reduce over 4 nodes of 8 GPUs with an adapter of 400 Gb/s each: 376.7 GB/s of bus bandwidth [net].
constexpr double kNetworkShare = 376.7 / 400;
constexpr double kNvlinkStep = 3.4e-6, kPcieStep = 5.7e-6, kNetworkStep = 9.6e-6;  // [nccl]

constexpr Machine kMachines[] = {
    {.name = "h100x8",
     .what = "8 x H100 SXM 80 GB, NVLink 4, 400 Gb/s per GPU",
     .gpus_per_node = 8,
     .nominal = 989.4e12,              // [sheet]
     .matmul = 794.5e12,               // [mamf] 2048 x 2048 x 13312
     .copy = kCopyShare * 3.35e12,     // [sheet] x the H200's share
     .memory = 79.6 * kGiB,            // 81559 MiB, nvidia-smi
     .link = 367.6e9,                  // [net] 8 x H200, the same links, without NVLink SHARP
     .network = kNetworkShare * 50e9,  //
     .link_latency = kNvlinkStep,
     .network_latency = kNetworkStep},
    {.name = "h200x8",
     .what = "8 x H200 SXM 141 GB, NVLink 4, 400 Gb/s per GPU",
     .gpus_per_node = 8,
     .nominal = 989.4e12,              // [sheet]
     .matmul = 790e12,                 // [ours] 785 to 791
     .copy = 4.17e12,                  // [ours]
     .memory = 139.8 * kGiB,           // 143155 MiB [net]
     .link = 367.6e9,                  // [net]
     .network = kNetworkShare * 50e9,  //
     .link_latency = kNvlinkStep,
     .network_latency = kNetworkStep},
    {.name = "a100x8",
     .what = "8 x A100 SXM 80 GB, NVLink 3, 200 Gb/s per GPU",
     .gpus_per_node = 8,
     .nominal = 312e12,                // [sheet]
     .matmul = 271.2e12,               // [mamf] 1024 x 10240 x 5120
     .copy = kCopyShare * 2.039e12,    // [sheet] x the H200's share
     .memory = 80.0 * kGiB,            // 81920 MiB, nvidia-smi
     .link = 235e9,                    // [net], and the cap in [nccl]
     .network = kNetworkShare * 25e9,  //
     .link_latency = kNvlinkStep,
     .network_latency = kNetworkStep},
    {.name = "4090x8",
     .what = "8 x RTX 4090 24 GB, PCIe 4 through the host, 100 Gb/s per node",
     .gpus_per_node = 8,
     .nominal = 165.2e12,                    // [sheet], sums in f32
     .matmul = 0.9 * 165.2e12,               // assumed
     .copy = kCopyShare * 1.008e12,          // [sheet] x the H200's share
     .memory = 23.99 * kGiB,                 // 24564 MiB, nvidia-smi
     .link = 0.5 * 31e9,                     // assumed: half of PCIe 4 x16, as there is no peer access
     .network = kNetworkShare * 12.5e9 / 8,  // one adapter for eight
     .link_latency = kPcieStep,
     .network_latency = kNetworkStep},
    {.name = "4090x1",
     .what = "RTX 4090 24 GB, one per machine, 10 Gb/s Ethernet",
     .gpus_per_node = 1,
     .nominal = 165.2e12,            // as above
     .matmul = 0.9 * 165.2e12,       //
     .copy = kCopyShare * 1.008e12,  //
     .memory = 23.99 * kGiB,         //
     .link = 0.5 * 31e9,             // not used: nobody else is in the node
     .network = kNetworkShare * 1.25e9,
     .link_latency = kPcieStep,
     .network_latency = 30e-6},  // assumed: TCP
};

}  // namespace

std::span<const Machine> machines() { return kMachines; }

const Machine& find_machine(std::string_view name) {
  std::string known;
  for (const Machine& m : kMachines) {
    if (m.name == name) return m;
    known += (known.empty() ? "" : ", ") + std::string(m.name);
  }
  fail(Exit::Config, "--machine: \"{}\" is not known. Use one of {}.", name, known);
}

}  // namespace rt
