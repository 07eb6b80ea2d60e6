// One bit of a checkpoint that several processes wrote is not as it was written.
#include <nlohmann/json.hpp>

#include "tests/apps/cluster_runs.h"
#include "tests/apps/disk_faults.h"

namespace rt::apps_test {
namespace {

class ClusterDamageDist : public ClusterProgram {
 protected:
  static constexpr int kWriters = 4, kDamaged = 8;

  Words words(const std::string& name, int world, int steps) {
    return train(
        name, world,
        {"run.deterministic=true", "model.layers=2", "batch.micro_sequences=2", "data.order=sequential",
         "data.document_state=carry", "checkpoint.every.steps=4", "eval.every=1000steps", "parallel.zero=2",
         "checkpoint.allow_change=[budget]", "budget.steps=" + std::to_string(steps)});
  }
  std::string bits(const std::string& name) const {
    return state(name) + slurp(checkpoint(kSteps, name) / "recurrent.safetensors");
  }

  // The run as it was when kDamaged steps were done.
  void restore() {
    fs::remove_all(run_dir("run"));
    fs::copy(dir_ / "kept", run_dir("run"), fs::copy_options::recursive);
  }
  void flip(const std::string& file, std::uint64_t byte, int bit) {
    const fs::path path = checkpoint(kDamaged, "run") / file;
    std::string content = slurp(path);
    ASSERT_LT(byte, content.size());
    content[byte] = static_cast<char>(content[byte] ^ (1 << bit));
    spew(path, content);
  }
  // Of the manifest of what was kept: "begin-end" of the block that a byte is in.
  std::string block_of(const std::string& file, std::uint64_t byte) const {
    const auto manifest = nlohmann::json::parse(slurp(dir_ / "kept/checkpoints/step-00000008/manifest.json"));
    std::uint64_t begin = 0;
    for (const std::uint64_t end : manifest["files"][file]["ends"].get<std::vector<std::uint64_t>>()) {
      if (byte < end) return std::to_string(begin) + "-" + std::to_string(end);
      begin = end;
    }
    return "none";
  }
  // `said`: of the file and where in it.
  void expect_refused(const std::string& file, std::uint64_t byte, int another_world,
                      const std::string& said) {
    SCOPED_TRACE(file + " byte " + std::to_string(byte));
    const std::string words_of_it = "step-00000008 failed verification (" + said;
    for (const int world : {2, another_world}) {
      restore();
      flip(file, byte, static_cast<int>(byte % 8));
      if (world == 2) {
        const Outcome looked = run({"rwkv", "inspect", "--verify", run_dir("run").string()});
        EXPECT_TRUE(refuses(looked, 4, words_of_it));
        EXPECT_TRUE(has(looked.out, "step-00000004: every checksum matches")) << looked.out;
      }
      const Outcome outcome = run(words("run", world, kSteps));
      ASSERT_TRUE(succeeds(outcome));
      EXPECT_TRUE(has(outcome.out, words_of_it)) << outcome.out;
      EXPECT_TRUE(
          has(outcome.out, "Falling back to step-00000004; step-00000008 moved to quarantine/step-00000008."))
          << outcome.out;
      EXPECT_TRUE(has(outcome.out, "step 5/12")) << outcome.out;
      EXPECT_TRUE(bits("run") == bits("straight")) << "by " << world;
    }
  }
};

// P4 for several: a piece of each rank in each file that all write, and the manifest.
TEST_F(ClusterDamageDist, OneBitOfAnyRanksPieceIsRefusedByNameAndFallsBack) {
  ASSERT_TRUE(succeeds(run(words("straight", 1, kSteps))));
  {
    const DiskFaults written_down(dir_ / "calls");
    ASSERT_TRUE(succeeds(run(words("run", kWriters, kDamaged))));
  }
  fs::rename(run_dir("run"), dir_ / "kept");
  std::map<std::pair<std::string, int>, std::vector<DiskCall>> pieces;
  for (const DiskCall& c : disk_calls(dir_ / "calls", kWriters)) {
    const std::string in = "step-00000008.tmp/";
    if (c.op == "write" && c.path.starts_with(in)) pieces[{c.path.substr(in.size()), c.rank}].push_back(c);
  }
  int cases = 0;
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "recurrent.safetensors"}) {
    for (int rank = 0; rank < kWriters; ++rank, ++cases) {
      const std::vector<DiskCall>& mine = pieces[{file, rank}];
      ASSERT_FALSE(mine.empty()) << file << " of rank " << rank;
      const DiskCall& piece = mine[mine.size() * static_cast<std::size_t>(rank + 1) / (kWriters + 1)];
      const std::uint64_t byte = piece.offset + piece.bytes * static_cast<std::uint64_t>(rank) / kWriters;
      expect_refused(
          file, byte, cases % 2 == 0 ? 4 : 1,
          std::string(file) + ": checksum mismatch in bytes " + block_of(file, byte) + ", stored ");
    }
  }
  const std::uint64_t manifest = fs::file_size(dir_ / "kept/checkpoints/step-00000008/manifest.json");
  for (const std::uint64_t byte : {std::uint64_t{0}, manifest / 2, manifest - 1})
    expect_refused("manifest.json", byte, 4, "manifest.json: ");
}

}  // namespace
}  // namespace rt::apps_test
