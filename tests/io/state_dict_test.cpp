#include "rt/io/state_dict.h"

#include <bit>
#include <cmath>
#include <limits>

#include "tests/io/checkpoint_support.h"

namespace rt::io::test {
namespace {

const double kDoubles[] = {0.1,
                           -0.0,
                           1e-320,
                           std::numeric_limits<double>::max(),
                           std::numeric_limits<double>::infinity(),
                           std::bit_cast<double>(std::uint64_t{0x7ff8dead00000001})};

fs::path save(const fs::path& root, const StateDict& state) {
  CheckpointWriter w(root, 1);
  state.save(w, "optimizer");
  return w.commit();
}

TEST(StateDict, ExactRoundTripInOrder) {
  TempDir dir;
  std::vector<double> moments{0.1, 0.2};
  std::vector<bf16> weights{bf16(1.0f)};
  StateDict state;
  state.set_u64("samples", std::numeric_limits<std::uint64_t>::max());
  state.set_tensor("z.m", TensorView(moments.data(), {2, 1}, DType::F64));
  state.set_i64("least", std::numeric_limits<std::int64_t>::min());
  state.set_i64("small", 3);
  for (std::size_t i = 0; i < std::size(kDoubles); ++i) state.set_f64(format("d{}", i), kDoubles[i]);
  state.set_bool("yes", true);
  state.set_string("text", "a \"quoted\"\nline \u00e9");
  state.set_tensor("a.w", TensorView(weights.data(), {1}, DType::BF16));

  const auto path = save(dir.path(), state);
  verify_checkpoint(path);
  const auto back = StateDict::load(path, "optimizer");
  ASSERT_EQ(back.entries().size(), state.entries().size());
  for (std::size_t i = 0; i < state.entries().size(); ++i) {
    EXPECT_EQ(back.entries()[i].first, state.entries()[i].first);
    EXPECT_EQ(back.entries()[i].second.index(), state.entries()[i].second.index());
  }
  EXPECT_EQ(back.get_u64("samples"), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(back.get_i64("least"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(back.get_i64("small"), 3);
  for (std::size_t i = 0; i < std::size(kDoubles); ++i) {
    EXPECT_EQ(std::bit_cast<std::uint64_t>(back.get_f64(format("d{}", i))),
              std::bit_cast<std::uint64_t>(kDoubles[i]));
  }
  EXPECT_TRUE(back.get_bool("yes"));
  EXPECT_EQ(back.get_string("text"), "a \"quoted\"\nline \u00e9");
  std::vector<double> into(2);
  back.copy_tensor("z.m", TensorView(into.data(), {2, 1}, DType::F64));
  EXPECT_EQ(into, moments);
  EXPECT_EQ(static_cast<float>(back.get_tensor("a.w").as<bf16>()[0]), 1.0f);
  EXPECT_TRUE(back.contains("a.w"));
  EXPECT_FALSE(back.contains("a.x"));
}

TEST(StateDict, SavedAgainGivesTheSameBytes) {
  TempDir a, b;
  std::vector<float> x{1, 2};
  StateDict state;
  state.set_tensor("x", TensorView(x.data(), {2}, DType::F32));
  state.set_f64("lr", 1e-3);
  const auto first = save(a.path(), state);
  const auto second = save(b.path(), StateDict::load(first, "optimizer"));
  for (const char* file : {"optimizer.json", "optimizer.safetensors", "manifest.json"}) {
    EXPECT_EQ(slurp(first / file), slurp(second / file)) << file;
  }
}

TEST(StateDict, ErrorsNameFileAndEntry) {
  TempDir dir;
  std::vector<float> x{1, 2};
  StateDict state;
  state.set_tensor("x", TensorView(x.data(), {2}, DType::F32));
  state.set_u64("step", 1);
  expect_error(Exit::Failure, [&] { state.set_u64("step", 2); }, {"\"step\"", "twice"});
  const auto path = save(dir.path(), state);
  const auto back = StateDict::load(path, "optimizer");
  expect_error(Exit::Checkpoint, [&] { back.get_u64("stop"); }, {"optimizer.json", "no entry \"stop\""});
  expect_error(Exit::Checkpoint, [&] { back.get_f64("step"); }, {"optimizer.json", "\"step\"", "not a f64"});
  expect_error(Exit::Checkpoint, [&] { back.copy_tensor("x", TensorView(x.data(), {1}, DType::F32)); },
               {"\"x\"", "(2) of f32, expected (1) of f32"});
  spill(path / "optimizer.json", R"({"step": {"u65": 1}})");
  expect_error(Exit::Checkpoint, [&] { StateDict::load(path, "optimizer"); },
               {"optimizer.json", "\"step\"", "no known type"});
  spill(path / "optimizer.json", R"({"y": {"tensor": ""}})");
  expect_error(Exit::Checkpoint, [&] { StateDict::load(path, "optimizer"); }, {"no tensor \"y\""});
  spill(path / "optimizer.json", "{");
  expect_error(Exit::Checkpoint, [&] { StateDict::load(path, "optimizer"); },
               {"optimizer.json", "not a JSON object"});
}

}  // namespace
}  // namespace rt::io::test
