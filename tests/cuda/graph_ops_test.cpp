// Ops that are recorded and replayed, on whichever CUDA backend this program is linked with.
#include <memory>

#include "rt/autograd/tape.h"
#include "rt/ops/layer_norm.h"
#include "rt/ops/linear.h"
#include "tests/cuda/graphs.h"

namespace rt {
namespace {

using testing::all_are;
using testing::Bytes;
using testing::bytes_of;

Tensor random(const Shape& shape, DType dtype, std::uint64_t stream, Device device = Device::cuda(0)) {
  const Tensor host(shape, dtype);
  for (std::int64_t i = 0; i < host.view.numel(); ++i) {
    set_element(host.view, i, Rng{3, stream}.uniform(static_cast<std::uint64_t>(i)) - 0.5);
  }
  return copy_to(device, host.view);
}

// y = W layer_norm(x) with gradients of everything, in memory that stays where it is.
class Layer {
 public:
  static constexpr std::int64_t kRows = 6, kIn = 64, kOut = 48;

  explicit Layer(DType storage) : Layer(storage, Workspace(device(), Impl::Cuda)) {}

  void pass(ExecContext& ctx, bool accumulate) {
    const ArenaScope saved(ctx.saved);
    for (Parameter& p : parameters_) p.has_grad = accumulate;
    Tape tape(ctx, Record::Yes);
    const Var in = tape.input(x.view, {dx_.view, accumulate ? GradMode::Accumulate : GradMode::Overwrite});
    const Var normed = layer_norm(tape, in, tape.param(parameters_[0]), tape.param(parameters_[1]));
    const Var out = linear(tape, normed, tape.param(parameters_[2]));
    if (!ctx.dry_run) copy(y_.view, tape.value(out), ctx.stream);
    tape.seed(out, dy_.view);
    tape.backward();
  }
  void pass(bool accumulate = false) { pass(live_->ctx(), accumulate); }

  // Of y and every gradient.
  std::vector<Bytes> results() const {
    std::vector<Bytes> out{bytes_of(y_.view), bytes_of(dx_.view)};
    for (const Tensor& g : grads_) out.push_back(bytes_of(g.view));
    return out;
  }
  void forget_results() {
    for (Tensor* t : {&y_, &dx_, &grads_[0], &grads_[1], &grads_[2]}) t->buffer.fill(0xff);
  }
  bool untouched() const {
    const std::vector<Bytes> all = results();
    return std::all_of(all.begin(), all.end(), [](const Bytes& b) { return all_are(b, 0xff); });
  }
  void set_input(std::uint64_t stream) {
    copy(x.view, random(x.view.shape, x.view.dtype, stream, Device::cpu()).view);
  }

  std::optional<DeviceGraph> record(bool accumulate = false) {
    std::string why;
    auto graph = DeviceGraph::record(
        stream(), [&] { pass(accumulate); }, &why);
    EXPECT_TRUE(graph) << why;
    return graph;
  }
  const Stream& stream() const { return live_->ctx().stream; }
  static Device device() { return Device::cuda(0); }

  Tensor x;

 private:
  Layer(DType storage, Workspace plan)
      : x(random({kRows, kIn}, storage, 1)),
        dx_({kRows, kIn}, storage, device()),
        y_({kRows, kOut}, storage, device()),
        dy_(random({kRows, kOut}, storage, 2)),
        parameters_(3) {
    const Shape shapes[] = {{kIn}, {kIn}, {kOut, kIn}};
    for (std::size_t i = 0; i < 3; ++i) {
      values_.push_back(random(shapes[i], storage, 10 + i));
      grads_.emplace_back(shapes[i], DType::F32, device());
      parameters_[i].value = parameters_[i].master = values_[i].view;
      parameters_[i].grad = grads_[i].view;
    }
    pass(plan.ctx(), false);
    live_ = std::make_unique<Workspace>(device(), Impl::Cuda, plan.saved().high_water(),
                                        plan.scratch().high_water(), plan.grads().high_water());
  }

  Tensor dx_, y_, dy_;
  std::vector<Tensor> values_, grads_;
  std::vector<Parameter> parameters_;
  std::unique_ptr<Workspace> live_;
};

class CudaGraphOf : public ::testing::TestWithParam<DType> {};

TEST_P(CudaGraphOf, ReplayHasTheBitsOfEagerWorkAndRecordingRunsNothing) {
  RT_NEEDS_GRAPHS();
  Layer layer(GetParam());
  layer.pass();
  const std::vector<Bytes> want = layer.results();
  layer.forget_results();
  const auto graph = layer.record();
  ASSERT_TRUE(graph);
  EXPECT_TRUE(layer.untouched());
  for (int replay = 0; replay < 2; ++replay) {
    layer.forget_results();
    graph->launch(layer.stream());
    EXPECT_EQ(layer.results(), want) << replay;
  }
}

TEST_P(CudaGraphOf, ReplayReadsWhatMemoryHoldsThen) {
  RT_NEEDS_GRAPHS();
  Layer layer(GetParam());
  std::vector<std::vector<Bytes>> want;
  for (const std::uint64_t input : {5, 6, 5}) {
    layer.set_input(input);
    layer.pass();
    want.push_back(layer.results());
  }
  ASSERT_NE(want[0], want[1]);
  ASSERT_EQ(want[0], want[2]);
  layer.set_input(9);
  const auto graph = layer.record();
  ASSERT_TRUE(graph);
  std::size_t i = 0;
  for (const std::uint64_t input : {5, 6, 5}) {
    layer.set_input(input);
    graph->launch(layer.stream());
    EXPECT_EQ(layer.results(), want[i++]);
  }
}

TEST_P(CudaGraphOf, ReplaysAddWhereTheRecordingDid) {
  RT_NEEDS_GRAPHS();
  Layer layer(GetParam());
  for (const bool accumulate : {false, true, true}) layer.pass(accumulate);
  const std::vector<Bytes> want = layer.results();
  const auto overwrite = layer.record(), add = layer.record(true);
  ASSERT_TRUE(overwrite && add);
  for (const auto* graph : {&overwrite, &add, &add}) (*graph)->launch(layer.stream());
  EXPECT_EQ(layer.results(), want);
}

INSTANTIATE_TEST_SUITE_P(Storage, CudaGraphOf, ::testing::Values(DType::F32, DType::BF16),
                         [](const auto& storage) { return std::string(name(storage.param)); });

}  // namespace
}  // namespace rt
