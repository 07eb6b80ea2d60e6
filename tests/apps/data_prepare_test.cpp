#include "tests/apps/apps_support.h"
#include "tests/data/prepare_test_util.h"

namespace rt::apps_test {
namespace {

class RwkvDataPrepare : public Program {
 protected:
  std::string path(const char* name) const { return (dir_ / name).string(); }
  Words prepare(const char* in, const char* out) const {
    return {"rwkv", "data", "prepare", path(in), "-o", path(out), "--tokenizer", "bytes"};
  }
  static Words with(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

TEST_F(RwkvDataPrepare, PackedInputsThreadsAndBadLines) {
  spew(dir_ / "a.jsonl.gz", data::gzip("{\"body\": \"one\"}\n{\"body\": \"two\"}\n{\n"));
  spew(dir_ / "b.txt.zst", data::zstd("three"));
  Words words = with(prepare("a.jsonl.gz", "set"), {path("b.txt.zst"), "--field", "body", "--threads", "3"});
  const Outcome made = run(words);
  ASSERT_TRUE(succeeds(made));
  EXPECT_TRUE(has(made.out, "13 tokens, 3 documents from 2 files")) << made.out;
  EXPECT_TRUE(has(made.out, "bad lines left out: 1\n")) << made.out;
  EXPECT_TRUE(has(made.err, "a.jsonl.gz:3: not valid JSON near column 2")) << made.err;
  EXPECT_EQ(run({"rwkv", "data", "inspect", path("set"), "--doc", "1"}).out, "two\n");
  EXPECT_TRUE(refuses(run(with(words, {"--force", "--strict"})), 3, "a.jsonl.gz:3: not valid JSON"));
  EXPECT_TRUE(refuses(run(with(words, {"--threads", "5000"})), 2, "--threads"));
  EXPECT_TRUE(refuses(run(with(words, {"--longest-line", "0"})), 2, "--longest-line"));
  spew(dir_ / "cut.jsonl.zst", data::zstd(std::string(9999, 'x')).substr(0, 15));
  EXPECT_TRUE(refuses(run(prepare("cut.jsonl.zst", "cut")), 3,
                      "truncated: the zstd data stops in the middle, at byte 15"));
}

// Ended by a signal, it says how to go on; the same command does.
TEST_F(RwkvDataPrepare, ASignalStopsItAndTheSameCommandGoesOn) {
  std::string lines;
  const std::string some = data::odd_jsonl(1, 2000, 900);
  while (lines.size() < (std::size_t{24} << 20)) lines += some;
  spew(dir_ / "in.jsonl", lines);
  const Words words = with(prepare("in.jsonl", "set"), {"--shard-tokens", "256k"});
  const pid_t child = start(words);
  for (int i = 0; i < 6000 && !fs::exists(dir_ / "set.partial" / "shard-00002.rtok"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kill(child, SIGTERM);
  const Outcome stopped = wait(child);
  ASSERT_TRUE(refuses(stopped, 75, "the same command goes on behind them"));
  EXPECT_FALSE(fs::exists(dir_ / "set"));
  const Outcome resumed = run(words);
  ASSERT_TRUE(succeeds(resumed));
  EXPECT_TRUE(has(resumed.err, "[data] going on behind ")) << resumed.err;
  const Outcome whole = run(with(prepare("in.jsonl", "whole"), {"--shard-tokens", "256k"}));
  ASSERT_TRUE(succeeds(whole));
  EXPECT_TRUE(data::files_of(dir_ / "set") == data::files_of(dir_ / "whole"));
  EXPECT_EQ(resumed.out.substr(resumed.out.find(' ')), whole.out.substr(whole.out.find(' ')));
}

}  // namespace
}  // namespace rt::apps_test
