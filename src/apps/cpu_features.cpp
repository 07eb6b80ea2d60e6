#include "apps/cpu_features.h"

namespace rt {

#ifdef __AVX2__
#define RT_COMPILED_AVX2 true
#else
#define RT_COMPILED_AVX2 false
#endif
#ifdef __FMA__
#define RT_COMPILED_FMA true
#else
#define RT_COMPILED_FMA false
#endif
#ifdef __AVX512F__
#define RT_COMPILED_AVX512F true
#else
#define RT_COMPILED_AVX512F false
#endif
#ifdef __AVX512BF16__
#define RT_COMPILED_AVX512BF16 true
#else
#define RT_COMPILED_AVX512BF16 false
#endif

constinit const CpuFeature kCpuFeatures[] = {{"avx2", RT_COMPILED_AVX2},
                                             {"fma", RT_COMPILED_FMA},
                                             {"avx512f", RT_COMPILED_AVX512F},
                                             {"avx512bf16", RT_COMPILED_AVX512BF16},
                                             {nullptr, false}};

std::string describe_cpu_features() {
  std::string compiled, present;
  for (const CpuFeature* f = kCpuFeatures; f->name; ++f) {
    if (f->compiled) compiled += std::string(" ") + f->name;
    if (cpu_has(f->name)) present += std::string(" ") + f->name;
  }
  if (compiled.empty()) compiled = " the baseline";
  if (present.empty()) present = " none";
  return "compiled for" + compiled + "; present" + present;
}

}  // namespace rt
