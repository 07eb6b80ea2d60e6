// One sequence in slices of time, each with somebody else, against the whole: losses and all gradients.
#include <gtest/gtest.h>

#include <barrier>
#include <cmath>
#include <cstring>
#include <thread>

#include "rt/core/host.h"
#include "rt/core/time_slices.h"
#include "rt/infer/model_file.h"
#include "tests/train/toy_stepper.h"

namespace rt {
namespace {

using testing::HostBatch;

// Ranks are threads; what they exchange goes through the host.
class Threads {
 public:
  explicit Threads(int size) : size_(size), met_(size), sent_(static_cast<std::size_t>(size)) {}

  class Rank final : public TimeSlices {
   public:
    Rank(Threads& all, int rank) : all_(all), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return all_.size_; }
    void all_gather(const TensorView& mine, const TensorView& all, const Stream& stream) override {
      ++calls;
      stream.synchronize();
      const HostTensor host(mine);
      const std::byte* const begin = host.view().data;
      all_.sent_[static_cast<std::size_t>(rank_)].assign(begin, begin + mine.nbytes());
      all_.met_.arrive_and_wait();
      for (int r = 0; r < size(); ++r) {
        const std::vector<std::byte>& theirs = all_.sent_[static_cast<std::size_t>(r)];
        if (theirs.size() != mine.nbytes()) throw std::runtime_error("slices of different sizes meet");
        TensorView part(all.data + static_cast<std::size_t>(r) * mine.nbytes(), mine.shape, mine.dtype,
                        all.device);
        copy(part, TensorView(const_cast<std::byte*>(theirs.data()), mine.shape, mine.dtype), stream);
      }
      stream.synchronize();
      all_.met_.arrive_and_wait();
    }
    void leave() { all_.met_.arrive_and_drop(); }  // after an error: the others need not wait
    int calls = 0;

   private:
    Threads& all_;
    int rank_;
  };

 private:
  int size_;
  std::barrier<> met_;
  std::vector<std::vector<std::byte>> sent_;
};

struct Case {
  Impl impl;
  DType compute;
  std::int64_t head_size;
  double tolerance;
};

struct Outcome {
  std::vector<double> losses;
  std::vector<std::string> names;
  std::vector<std::vector<double>> gradients;
};

ModelSpec spec_of(const Case& c) {
  ModelSpec spec = testing::toy_spec();
  spec.head_size = c.head_size;
  spec.width = 2 * c.head_size;
  return spec.resolve();
}

Outcome train(const Case& c, Recompute recompute, const BatchView& batch, TimeSlices* slices) {
  const Device device = device_of(c.impl);
  Outcome found;
  Workspace plan(device, c.impl);
  for (const bool live : {false, true}) {
    ParamStore store(device, param_types(c.impl, c.compute));
    const LanguageModel model(spec_of(c), store.root());
    NextToken objective(model, 1e-4, recompute);
    store.allocate(live ? MemoryMode::Live : MemoryMode::Measure);
    if (!live) {
      plan.ctx().slices = slices;
      micro_step(plan.ctx(), objective, batch, 1.0 / 64);
      continue;
    }
    testing::fill(store);
    Workspace ws(device, c.impl, plan.saved().high_water(), plan.scratch().high_water(),
                 plan.grads().high_water());
    ws.ctx().slices = slices;
    found.losses = micro_step(ws.ctx(), objective, batch, 1.0 / 64);
    ws.ctx().stream.synchronize();
    for (const Parameter* p : store.parameters()) {
      std::vector<double>& values = found.gradients.emplace_back();
      found.names.push_back(p->name);
      const HostTensor host(p->grad);
      for (std::int64_t i = 0; i < host.view().numel(); ++i)
        values.push_back(p->has_grad ? element(host.view(), i) : 0);
    }
  }
  return found;
}

// Tokens [begin, end) of each sequence.
HostBatch slice_of(const HostBatch& whole, std::int64_t begin, std::int64_t end) {
  const std::int64_t B = whole.tokens.view.shape[0], T = whole.tokens.view.shape[1];
  HostBatch part(B, end - begin, 0);
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t from = b * T + t, to = b * (end - begin) + t - begin;
      part.tokens.view.as<std::int32_t>()[to] = whole.tokens.view.as<std::int32_t>()[from];
      part.targets.view.as<std::int32_t>()[to] = whole.targets.view.as<std::int32_t>()[from];
      part.reset.view.as<std::uint8_t>()[to] = whole.reset.view.as<std::uint8_t>()[from];
    }
  }
  return part;
}

double distance(const std::vector<double>& found, const std::vector<double>& want) {
  double squares = 0, all = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    squares += (found[i] - want[i]) * (found[i] - want[i]);
    all += want[i] * want[i];
  }
  return std::sqrt(squares / std::max(all, 1e-30));
}

// The sum over slices of what each finds.
Outcome train_in_slices(const Case& c, Recompute recompute, const HostBatch& whole, int count) {
  const std::int64_t T = whole.tokens.view.shape[1] / count;
  Threads threads(count);
  std::vector<Outcome> parts(static_cast<std::size_t>(count));
  std::vector<std::string> errors(parts.size());
  std::vector<int> calls(parts.size());
  std::vector<std::thread> running;
  for (int r = 0; r < count; ++r) {
    running.emplace_back([&, r] {
      Threads::Rank rank(threads, r);
      const auto at = static_cast<std::size_t>(r);
      try {
        const HostBatch batch = slice_of(whole, r * T, (r + 1) * T);
        parts[at] = train(c, recompute, batch.view(), &rank);
      } catch (const std::exception& e) {
        errors[at] = e.what();
        rank.leave();
      }
      calls[at] = rank.calls;
    });
  }
  for (std::thread& thread : running) thread.join();
  for (std::size_t r = 0; r < errors.size(); ++r) {
    EXPECT_EQ(errors[r], "") << r;
    // Per layer: maps of states, the last tokens of two token shifts, and the gradients of all three.
    const int forward = recompute == Recompute::Block ? 2 : 1;
    EXPECT_EQ(calls[r], testing::toy_spec().layers * 3 * (forward + 1));
  }
  Outcome sum = parts.front();
  for (std::size_t r = 1; r < parts.size(); ++r) {
    for (std::size_t i = 0; i < sum.losses.size(); ++i) sum.losses[i] += parts[r].losses.at(i);
    for (std::size_t p = 0; p < sum.gradients.size(); ++p)
      for (std::size_t i = 0; i < sum.gradients[p].size(); ++i)
        sum.gradients[p][i] += parts[r].gradients.at(p).at(i);
  }
  return sum;
}

void expect_same(const Case& c) {
  const std::int64_t T = 96;
  HostBatch batch(2, T, 5);
  auto* const reset = batch.reset.view.as<std::uint8_t>();
  std::memset(reset, 0, static_cast<std::size_t>(2 * T));
  // In a slice, at the beginning of one, and between two that are both documents of their own.
  for (const std::int64_t at : {std::int64_t{40}, std::int64_t{48}, T + 24, T + 72}) reset[at] = 1;
  for (const Recompute recompute : {Recompute::None, Recompute::Block}) {
    const Outcome want = train(c, recompute, batch.view(), nullptr);
    for (const int count : {2, 3, 4}) {
      const Outcome found = train_in_slices(c, recompute, batch, count);
      if (::testing::Test::HasFailure()) return;
      EXPECT_LE(distance(found.losses, want.losses), c.tolerance) << count;
      for (std::size_t p = 0; p < want.gradients.size(); ++p)
        EXPECT_LE(distance(found.gradients[p], want.gradients[p]), c.tolerance)
            << count << " " << want.names[p];
    }
  }
}

TEST(SlicedSequence, IsTheWholeInDouble) {
  if (testing::device().kind != DeviceKind::Cpu) GTEST_SKIP() << "on the CPU";
  expect_same({Impl::Ref, DType::F64, 16, 1e-11});
}

TEST(SlicedSequence, IsTheWhole) { expect_same({impl_of(testing::device()), DType::F32, 16, 1e-5}); }

// Kernels in chunks, whose operands are rounded: what a slice begins with is rounded elsewhere.
TEST(SlicedSequence, IsTheWholeInBf16) {
  if (testing::device().kind == DeviceKind::Cpu) GTEST_SKIP() << "on a GPU";
  expect_same({Impl::Cuda, DType::BF16, 64, 3e-2});
}

// A slice that reads on from nothing is another model: the comparison would tell.
TEST(SlicedSequence, SlicesAloneAreNotTheWhole) {
  const Case c{impl_of(testing::device()), DType::F32, 16, 0};
  const HostBatch batch(2, 96, 5, true);
  const Outcome want = train(c, Recompute::None, batch.view(), nullptr);
  const HostBatch first = slice_of(batch, 0, 48), second = slice_of(batch, 48, 96);
  Outcome sum = train(c, Recompute::None, first.view(), nullptr);
  const Outcome other = train(c, Recompute::None, second.view(), nullptr);
  for (std::size_t i = 0; i < sum.losses.size(); ++i) sum.losses[i] += other.losses[i];
  EXPECT_GT(distance(sum.losses, want.losses), 1e-4);
}

}  // namespace
}  // namespace rt
