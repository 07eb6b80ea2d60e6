#include "tests/apps/apps_support.h"

namespace rt::apps_test {
namespace {

class CheckScale : public Program {
 protected:
  Outcome check(const Words& more) {
    Words words = {"rwkv",
                   "check",
                   config(),
                   "--set",
                   "model.vocab=512",
                   "--set",
                   "batch.global_tokens=4096",
                   "--set",
                   "batch.micro_sequences=auto"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
};

TEST_F(CheckScale, OneCountIsATable) {
  const Outcome o = check({"--world", "32", "--machine", "h100x8", "--set", "parallel.zero=2"});
  EXPECT_TRUE(succeeds(o));
  for (const char* part : {"vocab 512", "32 x h100x8", "ZeRO 2", "memory per GPU", "masters",
                           "reduce-scatter", "exposed", "tokens/s", "MFU"}) {
    EXPECT_TRUE(has(o.out, part)) << part << "\n" << o.out;
  }
  EXPECT_FALSE(fs::exists(run_dir()));
}

TEST_F(CheckScale, SweepsAreTablesAndFiles) {
  const std::string csv = dir_ / "t.csv", plot = dir_ / "t.svg", points = dir_ / "p.csv";
  spew(points, "model,gpus,mfu,label\n0.1B,8,0.37,there & back\n");
  const Outcome o = check({"--world", "1,8,64", "--machine", "h100x8", "--sizes", "0.1B,7.2B",
                           "--tokens-per-gpu", "128", "--csv", csv, "--plot", plot, "--points", points});
  EXPECT_TRUE(succeeds(o));
  EXPECT_EQ(lines(o.out), 7u) << o.out;
  EXPECT_TRUE(has(o.out, "does not fit")) << o.out;  // 7.2B on one
  EXPECT_EQ(lines(slurp(csv)), 7u);
  EXPECT_TRUE(has(slurp(csv), "\n0.1B,h100x8,64,1,none,32,8192,")) << slurp(csv);
  const std::string svg = slurp(plot);
  for (const char* part : {"<svg", "Predicted MFU, h100x8", ">0.1B<", "there &amp; back", "</svg>"}) {
    EXPECT_TRUE(has(svg, part)) << part << "\n" << svg;
  }
  // One batch for all: it ends where a GPU has less than a sequence of its 4096 / 32.
  const Outcome sweep = check({"--world", "sweep", "--machine", "h100x8"});
  EXPECT_TRUE(succeeds(sweep));
  EXPECT_EQ(lines(sweep.out), 1u + 8u) << sweep.out;
}

TEST_F(CheckScale, RefusesInOneLine) {
  EXPECT_TRUE(refuses(check({"--world", "8", "--machine", "cray1"}), 2, "Use one of h100x8"));
  EXPECT_TRUE(refuses(check({"--world", "8"}), 2, "--world and --machine need each other"));
  EXPECT_TRUE(refuses(check({"--csv", "x.csv"}), 2, "--csv"));
  EXPECT_TRUE(
      refuses(check({"--world", "8,many", "--machine", "h100x8"}), 2, "\"many\" is not a number of GPUs"));
  EXPECT_TRUE(refuses(check({"--world", "256", "--machine", "h100x8"}), 2, "batch.global_tokens"));
  EXPECT_TRUE(
      refuses(check({"--world", "8", "--machine", "h100x8", "--sizes", "9B"}), 2, "is not one of 0.1B"));
  EXPECT_TRUE(refuses(check({"--world", "8", "--machine", "4090x8", "--sizes", "7.2B"}), 5,
                      "Fits with parallel.zero"));
  spew(dir_ / "p.csv", "model,gpus,mfu,label\n0.1B,x,0.3,y\n");
  EXPECT_TRUE(refuses(check({"--world", "1,2", "--machine", "h100x8", "--plot", (dir_ / "a.svg").string(),
                             "--points", (dir_ / "p.csv").string()}),
                      2, "p.csv:2:"));
}

}  // namespace
}  // namespace rt::apps_test
