// What the sequences of a step hand on to those of the next.
#include "rt/train/carried_state.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "tests/train/run_test.h"
#include "tests/train/toy_stepper.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using testing::file_bytes;
using testing::HostBatch;
using testing::kScale;
using testing::Toy;
using testing::toy_config;

// Rows of `both` cut at T: the first half, or the second.
HostBatch half_of(const HostBatch& both, bool second) {
  const std::int64_t B = both.tokens.view.shape[0], T = both.tokens.view.shape[1] / 2;
  HostBatch half(B, T, 0, false);
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t t = 0; t < T; ++t) {
      const std::int64_t from = b * 2 * T + t + (second ? T : 0);
      half.tokens.view.as<std::int32_t>()[b * T + t] = both.tokens.view.as<std::int32_t>()[from];
      half.targets.view.as<std::int32_t>()[b * T + t] = both.targets.view.as<std::int32_t>()[from];
    }
  }
  return half;
}

// Two steps of two micro-batches, whose second goes on from the first, are one twice as long.
TEST(CarriedState, ASequenceInTwoStepsIsOneSequence) {
  Toy whole(false);
  for (const bool graphs : {false, true}) {
    Toy cut(graphs);
    CarriedState& state = cut.carry(4, 2);
    const StepReport* const good = cut.updates->report();
    for (std::uint64_t round = 0; round < 3; ++round) {  // with graphs: eager, recorded, replayed
      std::vector<HostBatch> micro;
      for (std::uint64_t m = 0; m < 2; ++m) micro.emplace_back(2, 16, 10 * round + m, false);
      std::vector<double> sums(4);
      for (const bool second : {false, true}) {
        for (std::size_t m = 0; m < 2; ++m)
          cut.stepper->give(half_of(micro[m], second).view(), kScale, m == 0, second);
        const std::vector<double> losses = fetch_values(cut.ws->ctx(), cut.stepper->take_losses());
        ASSERT_EQ(losses.size(), 4u);
        for (std::size_t i = 0; i < 4; ++i) sums[i] += losses[i];
        state.keep(good);
      }
      for (std::size_t m = 0; m < 2; ++m) {
        const std::vector<double> want = whole.run(micro[m], true);
        for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(sums[2 * m + i], want[i], 1e-5 * want[i]) << round;
      }
    }
    EXPECT_EQ(cut.stepper->replaying(), graphs && testing::has_graphs());
  }
}

TEST(CarriedState, AStepThatIsGivenUpLeavesNoTrace) {
  Toy toy(false);
  CarriedState& state = toy.carry(2, 2);
  const HostBatch first(2, 8, 1, false), other(2, 8, 2, false), next(2, 8, 3, false);
  const auto values = [&] {
    std::vector<double> all;
    for (const CarriedState::Field& f : state.read())
      for (std::int64_t i = 0; i < f.value.view.numel(); ++i) all.push_back(element(f.value.view, i));
    return all;
  };
  for (const double v : values()) ASSERT_EQ(v, 0);
  toy.run(first, true);
  state.keep(toy.updates->report());
  const std::vector<double> kept = values();
  EXPECT_NE(
      std::accumulate(kept.begin(), kept.end(), 0.0, [](double a, double b) { return a + std::abs(b); }), 0);
  toy.run(other, true);
  EXPECT_EQ(values(), kept);
  // Without `continues` the state is not looked at.
  Toy fresh(false);
  EXPECT_EQ(toy.run(next, true), fresh.run(next, true));
}

TEST(CarriedState, IsTheSameForAnyMicroBatches) {
  Toy toy(false);
  CarriedState one(toy.ws->ctx(), toy.model, DType::F32, 6, 2);
  CarriedState two(toy.ws->ctx(), toy.model, DType::F32, 6, 3);
  one.write([&](const std::string& name, std::int64_t begin, const TensorView& part) {
    for (std::int64_t i = 0; i < part.numel(); ++i)
      set_element(part, i, double(name.size()) + 1e-3 * double(begin + i));
  });
  const std::vector<CarriedState::Field> written = one.read();
  std::map<std::string, TensorView> of;
  std::size_t bytes = 0;
  for (const CarriedState::Field& field : written) {
    EXPECT_EQ(field.all, field.value.view.shape);
    EXPECT_EQ(field.all[0], 6) << field.name;
    of[field.name] = field.value.view.reshape({field.value.view.numel()});
  }
  two.write([&](const std::string& name, std::int64_t begin, const TensorView& part) {
    copy(part, of.at(name).slice(0, begin, begin + part.numel()));
  });
  const std::vector<CarriedState::Field> again = two.read();
  for (std::size_t f = 0; f < written.size(); ++f) {
    const TensorView &a = written[f].value.view, &b = again[f].value.view;
    ASSERT_EQ(a.shape, b.shape);
    bytes += a.nbytes();
    for (std::int64_t i = 0; i < a.numel(); ++i)
      ASSERT_EQ(element(a, i), element(b, i)) << written[f].name << i;
  }
  EXPECT_EQ(one.file_bytes(), bytes);
  EXPECT_EQ(two.file_bytes(), bytes);
}

// Three processes, the last of which has one micro-batch where the others have two.
TEST(CarriedState, EachProcessHasItsMicroBatches) {
  Toy toy(false);
  CarriedState all(toy.ws->ctx(), toy.model, DType::F32, 10, 2);
  const auto number = [](const std::string& name, std::int64_t i) {
    return double(name.size()) + 1e-3 * double(i);
  };
  all.write([&](const std::string& name, std::int64_t begin, const TensorView& part) {
    for (std::int64_t i = 0; i < part.numel(); ++i) set_element(part, i, number(name, begin + i));
  });
  std::map<std::string, std::set<std::int64_t>> seen;
  for (std::int64_t rank = 0; rank < 3; ++rank) {
    CarriedState mine(toy.ws->ctx(), toy.model, DType::F32, 4, 2, CarriedState::Share{rank, 3, 5});
    EXPECT_EQ(mine.file_bytes(), all.file_bytes());
    mine.write([&](const std::string& name, std::int64_t begin, const TensorView& part) {
      for (std::int64_t i = 0; i < part.numel(); ++i) set_element(part, i, number(name, begin + i));
    });
    mine.visit_parts(mine.read(), [&](const std::string& name, std::int64_t begin, const TensorView& part) {
      for (std::int64_t i = 0; i < part.numel(); ++i) {
        EXPECT_TRUE(seen[name].insert(begin + i).second);
        ASSERT_EQ(element(part, i), static_cast<double>(static_cast<float>(number(name, begin + i))));
      }
    });
  }
  for (const CarriedState::Field& field : all.read())
    EXPECT_EQ(seen[field.name].size(), static_cast<std::size_t>(field.all.numel())) << field.name;
}

class CarriedRun : public testing::RunTest {
 protected:
  CarriedRun() : RunTest("rt-carried-run") {}
  RunConfig config(const std::string& run, const std::vector<std::string>& overrides = {}) const {
    std::vector<std::string> all = {"data.order=sequential", "data.document_state=carry"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return RunConfig::parse(toy_config(temp_.path(), temp_.path() / run, kSteps), run, all);
  }
  static constexpr int kSteps = 9;  // each of the three sequences has six windows, and begins again
};

TEST_F(CarriedRun, ResumesToTheBitAtEveryStep) {
  expect_resumes([&](const std::string& run) { return config(run); }, kSteps, up_to(kSteps));
  for (const char* part : {"model", "optimizer", "recurrent"})  // all of these were compared
    EXPECT_FALSE(file_bytes(saved_ / (std::string(part) + ".safetensors")).empty()) << part;
}

TEST_F(CarriedRun, IsNotARunFromEmptyState) {
  const std::vector<double> carried = run(config("carried"), 2);
  const std::vector<double> forgetful = run(config("reset", {"data.document_state=reset"}), 2);
  EXPECT_FALSE(fs::exists(saved_ / "recurrent.safetensors"));
  EXPECT_NE(carried[1], forgetful[1]);
}

TEST_F(CarriedRun, ChangedDataGoesOnFromEmptyState) {
  const RunConfig c = config("reset", {"data.document_state=reset"});
  run(c, 2);
  const std::string refused = why_not(config("reset"), Exit::Config);
  EXPECT_NE(refused.find("data.document_state reset -> carry changes sample order"), std::string::npos)
      << refused;
  EXPECT_EQ(run(config("reset", {"checkpoint.allow_change=[data]"}), 4).size(), 2u);
  EXPECT_TRUE(fs::exists(saved_ / "recurrent.safetensors"));
}

TEST_F(CarriedRun, OtherMicroBatchesFindTheirState) {
  const std::vector<double> straight = run(config("straight"), kSteps);
  std::vector<double> losses = run(config("cut"), 4);
  for (const double loss :
       run(config("cut", {"batch.micro_sequences=3", "checkpoint.allow_change=[batch]"}), kSteps))
    losses.push_back(loss);
  for (std::size_t i = 0; i < kSteps; ++i) EXPECT_NEAR(losses[i], straight[i], 1e-5 * straight[i]) << i;
}

}  // namespace
}  // namespace rt
