#include "rt/core/host.h"

#include "rt/core/device_api.h"
#include "rt/core/error.h"

namespace rt {

HostTensor::HostTensor(const TensorView& device_view, Contents contents)
    : device_view_(device_view), view_(device_view) {
  if (device_view.device.kind == DeviceKind::Cpu) return;
  RT_CHECK(device_view.is_contiguous(), "host copy of {}: not contiguous", device_view.shape);
  buffer_ = Buffer(Device::cpu(), device_view.nbytes());
  view_ = TensorView(buffer_.data(), device_view.shape, device_view.dtype);
  if (contents == Contents::Read) copy(view_, device_view_);
}

void HostTensor::write_back() const {
  if (buffer_.data()) copy(device_view_, view_);
}

Tensor copy_to(Device device, const TensorView& from) {
  Tensor to(from.shape, from.dtype, device);
  copy(to.view, from);
  return to;
}

TensorView stage(ExecContext& ctx, const TensorView& host, std::string_view name) {
  if (!host || ctx.device.kind == DeviceKind::Cpu) return host;
  const TensorView view = ctx.saved.alloc(host.shape, host.dtype, name);
  if (!ctx.dry_run) copy(view, host, ctx.stream);
  return view;
}

void fetch(ExecContext& ctx, void* to, const void* from, std::size_t bytes) {
  device_api(ctx.device.kind).copy(to, from, bytes, ctx.stream.native());
  ctx.stream.synchronize();
}

std::vector<double> fetch_values(ExecContext& ctx, const TensorView& from) {
  std::vector<double> values;
  if (ctx.dry_run) return values;
  const Tensor host(from.shape, from.dtype);
  fetch(ctx, host.view.data, from.data, from.nbytes());
  for (std::int64_t i = 0; i < from.numel(); ++i) values.push_back(element(host.view, i));
  return values;
}

}  // namespace rt
