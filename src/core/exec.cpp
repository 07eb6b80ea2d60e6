#include "rt/core/exec.h"

namespace rt {

Tensor lasting(const ExecContext& ctx, Shape shape, DType dtype) {
  if (!ctx.dry_run) return Tensor(shape, dtype, ctx.device);
  Tensor counted;
  counted.view = untouchable(shape, dtype, ctx.device);
  return counted;
}

std::string_view name(Impl impl) {
  switch (impl) {
    case Impl::Ref: return "ref";
    case Impl::Cpu: return "cpu";
    case Impl::Cuda: return "cuda";
  }
  return "?";
}

Workspace::Workspace(Device device, Impl impl, std::size_t saved, std::size_t scratch, std::size_t grads,
                     Rng rng)
    : stream_(device),
      saved_("saved", device, saved),
      scratch_("scratch", device, scratch),
      grads_(device, grads),
      ctx_{device, impl, stream_, saved_, scratch_, grads_, rng, false} {}

Workspace::Workspace(Device device, Impl impl, Rng rng)
    : stream_(device),
      saved_("saved", device),
      scratch_("scratch", device),
      grads_(device),
      ctx_{device, impl, stream_, saved_, scratch_, grads_, rng, true} {}

}  // namespace rt
