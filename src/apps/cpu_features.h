#pragma once
#include <string>

namespace rt {

struct CpuFeature {
  const char* name;
  bool compiled;  // the code of this program was compiled to use it
};

// Constant-initialised: readable before any code of this program has run. Ends with a null name.
extern const CpuFeature kCpuFeatures[];

bool cpu_has(const char* feature);    // whether this machine's CPU does
std::string describe_cpu_features();  // "compiled for avx2 fma; present avx2 fma avx512f"

}  // namespace rt
