#include "rt/nn/param_store.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "rt/nn/language_model.h"
#include "tests/support/model_harness.h"

namespace rt {
namespace {

ModelSpec spec() {
  ModelSpec s = testing::tiny_spec(50);
  s.layers = 4;
  return s;
}

struct Made {
  ParamStore store;
  LanguageModel model;
  Made(ParamStore::Types types, Sharding sharding)
      : store(Device::cpu(), types, sharding), model(spec(), store.root()) {
    store.allocate();
    store.initialize(Rng{1, 2});
  }
};

constexpr ParamStore::Types kSame{DType::F32, DType::F32}, kMixed{DType::F32, DType::BF16};

// Each element belongs to one process, and those of the others are as they would be alone.
TEST(ParamStore, ProcessesShareOutEveryElementOnce) {
  for (const ParamStore::Types types : {kSame, kMixed}) {
    const Made alone(types, {});
    for (const int world : {2, 3, 4}) {
      for (const int zero : {0, 1, 2, 3}) {
        std::map<std::string, std::vector<int>> owners;
        for (int rank = 0; rank < world; ++rank) {
          const Made part(types, {zero, rank, world});
          std::int64_t updated = 0;
          for (const ParamGroup& group : part.store.groups()) {
            updated += group.master.numel();
            EXPECT_EQ(group.master.numel(), group.value.numel());
            EXPECT_EQ(group.master.numel(), group.grad.numel());
            EXPECT_EQ(group.begin % 4, 0);
          }
          EXPECT_EQ(updated, part.store.owned_extent());
          for (const ParamPart& p : part.store.parts()) {
            const Parameter* const whole = const_cast<ParamStore&>(alone.store).find(p.parameter->name);
            auto& owned = owners[p.parameter->name];
            owned.resize(static_cast<std::size_t>(whole->master.numel()));
            for (std::int64_t i = 0; i < p.master.numel(); ++i) {
              ++owned[static_cast<std::size_t>(p.begin + i)];
              ASSERT_EQ(element(p.master, i),
                        element(whole->master.reshape({whole->master.numel()}), p.begin + i));
            }
          }
        }
        EXPECT_EQ(owners.size(), alone.store.parameters().size());
        const int each = zero == 0 ? world : 1;
        for (const auto& [name, owned] : owners)
          for (const int n : owned) ASSERT_EQ(n, each) << name << " world " << world << " zero " << zero;
      }
    }
  }
}

// A block's memory is that of another one, two blocks on; never of the one beside it.
TEST(ParamStore, UnitsTakeTurnsInWhatIsSharedOut) {
  const Made made(kMixed, {3, 1, 2});
  const auto units = made.store.units();
  ASSERT_EQ(units.size(), 6u);  // embedding, four blocks, head
  std::set<const std::byte*> values;
  for (const ParamUnit& unit : units) values.insert(unit.value.data);
  EXPECT_EQ(values.size(), 4u);
  EXPECT_EQ(units[1].value.data, units[3].value.data);
  EXPECT_EQ(units[2].grad.data, units[4].grad.data);
  EXPECT_NE(units[1].value.data, units[2].value.data);
  for (const ParamUnit& unit : units) EXPECT_EQ(unit.own_value.numel() * 2, unit.extent);
}

TEST(ParamStore, StagesTakeTheMemoryThatTheyPromise) {
  const auto bytes = [](const ParamStore::Types types, int zero, int world) {
    ParamStore store(Device::cpu(), types, {zero, 0, world});
    const LanguageModel model(spec(), store.root());
    store.allocate(MemoryMode::Measure);
    return std::pair(store.bytes() - store.gradient_bytes(), store.gradient_bytes());
  };
  const auto [weights, gradients] = bytes(kMixed, 0, 4);
  EXPECT_EQ(weights, gradients / 4 * 6);  // f32 masters, bf16 copies
  EXPECT_EQ(bytes(kMixed, 1, 4), std::pair(gradients / 4 * 3, gradients));
  EXPECT_EQ(bytes(kMixed, 2, 4).first, gradients / 4 * 3);
  EXPECT_LT(bytes(kMixed, 2, 4).second, gradients);
  EXPECT_LT(bytes(kMixed, 3, 4).first, bytes(kMixed, 2, 4).first);
  EXPECT_EQ(bytes(kMixed, 3, 1), std::pair(weights, gradients));  // alone, nothing is
  EXPECT_EQ(bytes(kSame, 2, 4).first, gradients);
}

}  // namespace
}  // namespace rt
