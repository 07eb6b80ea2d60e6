// Compiled for the baseline CPU (see CMakeLists.txt) and run before every other constructor of the program:
// on a CPU that lacks what the rest was compiled for, the first vector instruction would end in SIGILL. Hence
// also no library beyond C here: an inline function of the C++ library could be another file's vector copy.
#include <string.h>
#include <unistd.h>

#include "apps/cpu_features.h"

namespace rt {

bool cpu_has(const char* feature) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (strcmp(feature, "avx2") == 0) return __builtin_cpu_supports("avx2");
  if (strcmp(feature, "fma") == 0) return __builtin_cpu_supports("fma");
  if (strcmp(feature, "avx512f") == 0) return __builtin_cpu_supports("avx512f");
  if (strcmp(feature, "avx512bf16") == 0) return __builtin_cpu_supports("avx512bf16");
#endif
  (void)feature;
  return false;
}

namespace {

void say(const char* text) {
  if (write(STDERR_FILENO, text, strlen(text)) < 0) _exit(1);
}

[[gnu::constructor(101)]] void refuse_other_cpus() {
  for (const CpuFeature* f = kCpuFeatures; f->name; ++f) {
    if (!f->compiled || cpu_has(f->name)) continue;
    say("error: this program was compiled for a CPU with ");
    say(f->name);
    say(", which this one lacks. Build it here, or with -DRT_ARCH=x86-64-v2.\n");
    _exit(1);
  }
}

}  // namespace
}  // namespace rt
