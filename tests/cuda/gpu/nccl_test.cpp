// The real library on a real device, alone: what it shows is that calls, types and streams are what it takes.
#include <gtest/gtest.h>

#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/dist/nccl.h"

namespace rt::dist {
namespace {

std::unique_ptr<Communicator> alone(Store& store, const NcclOptions& options) {
  try {
    return nccl_communicator(store, 0, 1, Device::cuda(0), options);
  } catch (const Error& e) {
    if (e.code() != Exit::Config) throw;
    return nullptr;  // not installed
  }
}

Tensor numbers(std::int64_t n, DType dtype) {
  const Tensor all({n}, dtype);
  for (std::int64_t i = 0; i < n; ++i) set_element(all.view, i, static_cast<double>(i * 37 % 1001 - 500) / 3);
  return copy_to(Device::cuda(0), all.view);
}

std::vector<double> values(const TensorView& view) {
  const HostTensor host(view);
  std::vector<double> all;
  for (std::int64_t i = 0; i < view.numel(); ++i) all.push_back(element(host.view(), i));
  return all;
}

TEST(NcclOnGpu, OfOneKeepsItsNumbers) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no CUDA device";
  const StoreServer server(0);
  Store store("127.0.0.1", server.port(), Milliseconds(20'000));
  for (const SumOrder order : {SumOrder::Tree, SumOrder::Library}) {
    NcclOptions options;
    options.prefix = order == SumOrder::Tree ? "tree" : "library";
    options.order = order;
    options.staging = 1 << 20;
    const auto c = alone(store, options);
    if (!c) GTEST_SKIP() << "NCCL is not installed: set RT_NCCL_LIBRARY";
    const Stream stream(Device::cuda(0));
    for (const std::int64_t n : {1, 1003, 700'001}) {
      const Tensor f = numbers(n, DType::F32), d = numbers(n, DType::F64), narrow = numbers(n, DType::F32);
      const Tensor part({n}, DType::F32, Device::cuda(0)), all({n}, DType::BF16, Device::cuda(0));
      const Tensor bytes = numbers(n, DType::BF16), seen({n}, DType::F32, Device::cuda(0));
      const std::vector<double> in_f32 = values(f.view), in_f64 = values(d.view),
                                in_bf16 = values(bytes.view);
      c->all_reduce(f.view, {}, stream);
      c->all_reduce(d.view, {ReduceOp::Max}, stream);
      c->all_reduce(narrow.view, {.wire = DType::BF16}, stream);
      c->reduce_scatter(f.view, part.view, {}, stream);
      c->all_gather(bytes.view, all.view, stream);
      c->wait(c->broadcast(part.view, 0, stream), stream);
      copy(seen.view, part.view, stream);
      stream.synchronize();
      EXPECT_EQ(values(seen.view), in_f32);
      EXPECT_EQ(values(f.view), in_f32);
      EXPECT_EQ(values(d.view), in_f64);
      EXPECT_EQ(values(narrow.view), in_bf16);
      EXPECT_EQ(values(all.view), in_bf16);
      c->barrier();
    }
  }
}

TEST(NcclOnGpu, CanBeGivenUp) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no CUDA device";
  const StoreServer server(0);
  Store store("127.0.0.1", server.port(), Milliseconds(20'000));
  const auto c = alone(store, {});
  if (!c) GTEST_SKIP() << "NCCL is not installed: set RT_NCCL_LIBRARY";
  const Stream stream(Device::cuda(0));
  const Tensor f = numbers(1000, DType::F32);
  c->wait(c->all_reduce(f.view, {}, stream), stream);
  c->abort();
  stream.synchronize();
  EXPECT_THROW(c->barrier(), Error);
}

}  // namespace
}  // namespace rt::dist
