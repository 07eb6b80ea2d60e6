#pragma once
#include <string_view>

#include "rt/core/error.h"
#include "rt/core/exec.h"

namespace rt {

// One op's kernels for one implementation. A kernel launches on ctx.stream, takes its temporaries from
// ctx.scratch first, and returns right after that when ctx.dry_run. Views are contiguous unless the op's
// header says otherwise.
template <class Args, class Outs, class OutGrads, class Grads>
struct OpKernels {
  void (*forward)(ExecContext&, const Args&, const Outs&) = nullptr;
  // Gradients in OutGrads may be empty (zero). Each GradSlot says skip, overwrite or accumulate.
  void (*backward)(ExecContext&, const Args&, const Outs&, const OutGrads&, const Grads&) = nullptr;
  void (*step)(ExecContext&, const Args&,
               const Outs&) = nullptr;  // T == 1, no gradient; state updated in place
};

template <class Kernels>
struct OpTable {
  std::string_view name;
  Kernels ref, cpu, cuda;
  const Kernels& at(Impl impl) const {
    const Kernels& k = impl == Impl::Ref ? ref : impl == Impl::Cpu ? cpu : cuda;
    RT_CHECK(k.forward != nullptr, "{}: this build has no {} kernel", name, rt::name(impl));
    return k;
  }
};

}  // namespace rt
