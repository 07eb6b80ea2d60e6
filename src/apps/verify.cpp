// rwkv verify PATH: recompute a golden file and compare.
#include <cstdio>
#include <optional>
#include <string>

#include "apps/options.h"
#include "apps/verb.h"
#include "rt/core/error.h"
#include "rt/train/verify.h"

namespace rt {

int verify_main(int argc, char** argv) {
  std::string path, impl = "cpu";
  std::optional<std::string> precision, out;
  Options options("rwkv verify", "Recompute a golden op file, model folder or training file, and compare.");
  options.positional("path", path, "a golden file, or the folder of a golden model");
  options.choice("--impl", impl, {"ref", "cpu", "cuda"}, "which kernels: ref computes in f64");
  options.text("--precision", precision, "f32 or bf16: storage of weights and activations (default f32)");
  options.text("--out", out, "write what was computed to this .safetensors file");
  if (!options.parse(argc, argv)) return 0;

  VerifyOptions chosen;
  chosen.impl = impl == "ref" ? Impl::Ref : impl == "cuda" ? Impl::Cuda : Impl::Cpu;
  if (precision && *precision != "f32" && *precision != "bf16") {
    fail(Exit::Config, "rwkv verify: --precision: \"{}\" is not one of f32|bf16.", *precision);
  }
  if (precision && chosen.impl == Impl::Ref) {
    fail(Exit::Config, "rwkv verify: --precision: --impl ref computes in f64. Leave one of them out.");
  }
  if (precision == "bf16") chosen.compute = DType::BF16;

  const VerifyResult result = verify(path, chosen);
  std::fputs(describe(result).c_str(), stdout);
  if (out) write_computed(result, *out);
  return static_cast<int>(result.failures() == 0 ? Exit::Ok : Exit::Failure);
}

}  // namespace rt
