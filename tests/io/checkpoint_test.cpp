#include "rt/io/checkpoint.h"

#include <nlohmann/json.hpp>
#include <set>

#include "io/manifest.h"
#include "rt/core/log.h"
#include "tests/io/checkpoint_support.h"

namespace rt::io::test {
namespace {

using Steps = std::vector<std::uint64_t>;

void flip_bit(const fs::path& path, std::size_t bit) {
  auto content = slurp(path);
  content[bit / 8] = static_cast<char>(content[bit / 8] ^ (1 << bit % 8));
  spill(path, content);
}

// The lines that newest_good_checkpoint logs.
std::string log_of(const TempDir& dir, const std::function<void()>& f) {
  log::open_file(dir / "log.txt");
  f();
  log::close_file();
  return slurp(dir / "log.txt");
}

TEST(Checkpoint, SaveListVerifyLoad) {
  TempDir dir;
  const auto root = dir / "runs/a/checkpoints";
  EXPECT_TRUE(list_checkpoints(root).empty());
  EXPECT_FALSE(newest_good_checkpoint(root));
  EXPECT_EQ(save_checkpoint(root, 1234, 5), root / "step-00001234");
  save_checkpoint(root, 999, 4);
  save_checkpoint(root, 123456789012, 6);
  EXPECT_EQ(steps_of(list_checkpoints(root)), (Steps{999, 1234, 123456789012}));
  for (const auto& c : list_checkpoints(root)) verify_checkpoint(c.dir);
  const auto newest = newest_good_checkpoint(root);
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->step, 123456789012u);
  EXPECT_EQ(read_checkpoint(newest->dir), 6);
  EXPECT_TRUE(partial_checkpoints(root).empty());
}

TEST(Checkpoint, ManifestListsSizeAndHashOfEveryFile) {
  TempDir dir;
  const auto path = save_checkpoint(dir.path(), 7, 1);
  const auto manifest = nlohmann::json::parse(slurp(path / "manifest.json"));
  EXPECT_EQ(manifest["step"], 7);
  EXPECT_EQ(manifest["files"].size(), 4u);
  EXPECT_EQ(manifest["files"]["config.yaml"]["size"], 8);
  EXPECT_EQ(manifest["files"]["config.yaml"]["xxh3"].get<std::string>().size(), 16u);
}

TEST(Checkpoint, WithoutCommitNothingIsLeft) {
  TempDir dir;
  {
    CheckpointWriter w(dir.path(), 3);
    w.text("a", "x");
    EXPECT_EQ(partial_checkpoints(dir.path()).size(), 1u);
  }
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(Checkpoint, WriterRefusesMisuse) {
  TempDir dir;
  CheckpointWriter w(dir.path(), 3);
  expect_error(Exit::Failure, [&] { w.commit(); }, {"without files"});
  for (const std::string bad : {"", "..", "a/b", "manifest.json"}) {
    expect_error(Exit::Failure, [&] { w.text(bad, "x"); }, {"cannot name a file"});
  }
  w.text("a", "x");
  expect_error(Exit::Failure, [&] { w.text("a", "y"); }, {"\"a\"", "twice"});
  EXPECT_THROW(w.file("b", [](FileWriter&) { throw std::runtime_error("producer"); }), std::runtime_error);
  expect_error(Exit::Failure, [&] { w.commit(); }, {"after an error"});
}

TEST(Checkpoint, SameStepIsReplaced) {
  TempDir dir;
  save_checkpoint(dir.path(), 5, 1);
  save_checkpoint(dir.path(), 5, 2);
  EXPECT_EQ(read_checkpoint(newest_good_checkpoint(dir.path())->dir), 2);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
}

TEST(Checkpoint, OneFlippedBitInAnyFileIsRefusedByNameAndFallsBack) {
  for (const std::string file : kCheckpointFiles) {
    TempDir dir;
    const auto root = dir / "ckpt";
    save_checkpoint(root, 11000, 1);
    const auto bad = save_checkpoint(root, 12000, 2);
    flip_bit(bad / file, fs::file_size(bad / file) * 4 + 3);
    expect_error(Exit::Checkpoint, [&] { verify_checkpoint(bad); },
                 {"step-00012000 failed verification (" + file,
                  file == "manifest.json" ? "" : "checksum mismatch in bytes 0-"});
    std::optional<CheckpointInfo> good;
    const auto log = log_of(dir, [&] { good = newest_good_checkpoint(root); });
    ASSERT_TRUE(good);
    EXPECT_EQ(good->step, 11000u);
    EXPECT_EQ(read_checkpoint(good->dir), 1);
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1);
    EXPECT_NE(log.find("step-00012000 failed verification (" + file), std::string::npos) << log;
    EXPECT_NE(log.find("Falling back to step-00011000; step-00012000 moved to "
                       "quarantine/step-00012000"),
              std::string::npos)
        << log;
    EXPECT_TRUE(fs::exists(root / "quarantine/step-00012000" / file));
    EXPECT_EQ(steps_of(list_checkpoints(root)), Steps{11000});
  }
}

TEST(Checkpoint, BlocksOfAFileAreItsWholeInOrder) {
  using Ends = std::vector<std::uint64_t>;
  const auto with = [](const Ends& ends) {
    Manifest manifest{.step = 1, .files = {}};
    manifest.files["f"] = {.size = 9, .xxh3 = 1, .blocks = {2, 3, 4}, .ends = ends};
    return to_text(manifest);
  };
  EXPECT_EQ(parse_manifest(with({2, 5, 9})).files.at("f").ends, (Ends{2, 5, 9}));
  for (const Ends& bad : {Ends{2, 5, 8}, Ends{2, 9}, Ends{5, 2, 9}, Ends{5, 5, 9}, Ends{0, 5, 9}})
    expect_error(Exit::Checkpoint, [&] { parse_manifest(with(bad)); }, {"are not its whole"});
}

TEST(Checkpoint, EveryBitOfTheManifestAndOfAFileMatters) {
  TempDir dir;
  const auto path = save_checkpoint(dir.path(), 1, 1);
  for (const auto& [file, stride] :
       {std::pair<std::string, std::size_t>{"manifest.json", 3}, {"config.yaml", 1}}) {
    const auto bits = fs::file_size(path / file) * 8;
    for (std::size_t bit = 0; bit < bits; bit += stride) {
      flip_bit(path / file, bit);
      expect_error(Exit::Checkpoint, [&] { verify_checkpoint(path); }, {file});
      flip_bit(path / file, bit);
    }
  }
  verify_checkpoint(path);
}

TEST(Checkpoint, MissingTruncatedAndRenamedAreRefused) {
  TempDir dir;
  const auto path = save_checkpoint(dir.path(), 1, 1);
  fs::rename(path / "state.json", path / "kept");
  expect_error(Exit::Checkpoint, [&] { verify_checkpoint(path); }, {"state.json: missing"});
  fs::rename(path / "kept", path / "state.json");
  fs::resize_file(path / "config.yaml", 3);
  expect_error(Exit::Checkpoint, [&] { verify_checkpoint(path); }, {"config.yaml: 3 bytes, manifest says 8"});
  fs::remove(path / "manifest.json");
  expect_error(Exit::Checkpoint, [&] { verify_checkpoint(path); }, {"manifest.json", "cannot open"});
  const auto other = save_checkpoint(dir.path(), 2, 2);
  fs::rename(other, dir / "step-00000009");
  expect_error(Exit::Checkpoint, [&] { verify_checkpoint(dir / "step-00000009"); }, {"is of step 2"});
  fs::rename(dir / "step-00000009", dir / "best");
  verify_checkpoint(dir / "best");
}

TEST(Checkpoint, DamageInALargeFileIsLocated) {
  TempDir dir;
  CheckpointWriter w(dir.path(), 1);
  w.file("big.bin", [](FileWriter& out) {
    for (int i = 0; i < 5; ++i) out.write(std::string(kDigestBlockBytes / 2, static_cast<char>('a' + i)));
  });
  const auto path = w.commit();
  verify_checkpoint(path);
  flip_bit(path / "big.bin", (kDigestBlockBytes + 77) * 8);
  expect_error(Exit::Checkpoint, [&] { verify_checkpoint(path); },
               {"big.bin: checksum mismatch in bytes 4194304-8388608, stored ", ", read "});
}

TEST(Checkpoint, NoGoodOneAtAll) {
  TempDir dir;
  for (const int step : {1, 2}) fs::remove(save_checkpoint(dir.path(), step, step) / "config.yaml");
  EXPECT_FALSE(newest_good_checkpoint(dir.path()));
  EXPECT_TRUE(list_checkpoints(dir.path()).empty());
  EXPECT_TRUE(fs::exists(dir / "quarantine/step-00000001") && fs::exists(dir / "quarantine/step-00000002"));
  // A second bad one of the same step does not overwrite the first.
  fs::remove(save_checkpoint(dir.path(), 1, 1) / "state.json");
  EXPECT_FALSE(newest_good_checkpoint(dir.path()));
  EXPECT_TRUE(fs::exists(dir / "quarantine/step-00000001/state.json"));
  EXPECT_TRUE(fs::exists(dir / "quarantine/step-00000001.1/config.yaml"));
}

TEST(Checkpoint, PartialOnesAreIgnoredAndReported) {
  TempDir dir;
  const auto root = dir / "ckpt";
  save_checkpoint(root, 1, 1);
  fs::copy(root / "step-00000001", root / "step-00000500.tmp");
  fs::create_directory(root / "step-x");
  spill(root / "step-00000700", "a file");
  std::optional<CheckpointInfo> good;
  const auto log = log_of(dir, [&] { good = newest_good_checkpoint(root); });
  EXPECT_EQ(good->step, 1u);
  EXPECT_NE(log.find("1 partial, ignored: step-00000500.tmp"), std::string::npos) << log;
  EXPECT_TRUE(fs::exists(root / "step-00000500.tmp"));
  save_checkpoint(root, 500,
                  2);  // a leftover of the same step is in nobody's way
  EXPECT_EQ(read_checkpoint(newest_good_checkpoint(root)->dir), 2);
  EXPECT_TRUE(partial_checkpoints(root).empty());
}

TEST(Checkpoint, SweepingRemovesWhatKillsLeftAndNothingElse) {
  TempDir dir;
  sweep_checkpoints(dir / "none");
  save_checkpoint(dir.path(), 1, 1);
  for (const char* left : {"step-00000500.tmp", ".trash/step-00000001"}) {
    fs::create_directories((dir / left).parent_path());
    fs::copy(dir / "step-00000001", dir / left);
  }
  for (const char* other : {"quarantine", "step-x.tmp", "step-00000001.old"})
    fs::create_directory(dir / other);
  sweep_checkpoints(dir.path());
  std::set<std::string> rest;
  for (const auto& entry : fs::directory_iterator(dir.path())) rest.insert(entry.path().filename());
  EXPECT_EQ(rest, (std::set<std::string>{"quarantine", "step-00000001", "step-00000001.old", "step-x.tmp"}));
}

TEST(Checkpoint, PruneKeepsWhatWasAsked) {
  TempDir dir;
  for (int step = 10; step <= 80; step += 10)
    save_checkpoint(dir.path(), static_cast<std::uint64_t>(step), step);
  EXPECT_EQ(steps_of(prune_checkpoints(dir.path(), {.last = 2, .every_steps = 40, .steps = {20}})),
            (Steps{10, 30, 50, 60}));
  EXPECT_EQ(steps_of(list_checkpoints(dir.path())), (Steps{20, 40, 70, 80}));
  EXPECT_TRUE(prune_checkpoints(dir.path(), {.last = 9, .every_steps = 0, .steps = {}}).empty());
  prune_checkpoints(dir.path(), {.last = 0, .every_steps = 0, .steps = {}});
  EXPECT_EQ(steps_of(list_checkpoints(dir.path())), Steps{80});
  for (const auto& entry : fs::directory_iterator(dir / ".trash")) ADD_FAILURE() << entry.path();
}

TEST(Checkpoint, PruneNeverDeletesTheLastGoodOne) {
  TempDir dir;
  for (const int step : {1, 2, 3, 4}) save_checkpoint(dir.path(), static_cast<std::uint64_t>(step), step);
  flip_bit(dir / "step-00000004/model.safetensors", 4000);
  flip_bit(dir / "step-00000003/model.safetensors", 4000);
  EXPECT_EQ(steps_of(prune_checkpoints(dir.path(), {.last = 1, .every_steps = 0, .steps = {}})),
            (Steps{1, 3}));
  EXPECT_EQ(newest_good_checkpoint(dir.path())->step, 2u);
  flip_bit(dir / "step-00000002/model.safetensors", 4000);
  save_checkpoint(dir.path(), 5, 5);
  flip_bit(dir / "step-00000005/model.safetensors", 4000);
  EXPECT_TRUE(prune_checkpoints(dir.path(), {.last = 1, .every_steps = 0, .steps = {}}).empty());
}

}  // namespace
}  // namespace rt::io::test
