#include "tests/apps/apps_support.h"

namespace rt::apps_test {
namespace {

class RwkvData : public Program {
 protected:
  std::string path(const char* name) const { return (dir_ / name).string(); }
};

TEST_F(RwkvData, PrepareInspectVerify) {
  spew(dir_ / "in.txt", "First one.\n---\nSecond, longer.\n");
  const Words prepare = {"rwkv",      "data",        "prepare", path("in.txt"),   "--out",
                         path("set"), "--tokenizer", "chars",   "--separator=---"};
  const Outcome made = run(prepare);
  ASSERT_TRUE(succeeds(made));
  EXPECT_TRUE(has(made.out, "27 tokens, 2 documents from 1 files")) << made.out;
  EXPECT_TRUE(refuses(run(prepare), 3, "set"));
  Words again = prepare;
  again.emplace_back("--force");
  EXPECT_TRUE(succeeds(run(again)));

  const Outcome inspect = run({"rwkv", "data", "inspect", path("set")});
  ASSERT_TRUE(succeeds(inspect));
  EXPECT_TRUE(has(inspect.out, "chars, vocab ")) << inspect.out;
  EXPECT_TRUE(has(inspect.out, "documents    2,")) << inspect.out;
  EXPECT_EQ(run({"rwkv", "data", "inspect", path("set"), "--doc", "1"}).out, "Second, longer.\n");
  EXPECT_TRUE(refuses(run({"rwkv", "data", "inspect", path("set"), "--doc", "2"}), 2, "--doc"));

  EXPECT_TRUE(succeeds(run({"rwkv", "data", "verify", path("set")})));
  fs::path shard;
  for (const auto& entry : fs::directory_iterator(dir_ / "set")) {
    if (entry.path().extension() != ".json") shard = entry.path();
  }
  std::string bytes = slurp(shard);
  const auto at = bytes.size() - 5;
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  spew(shard, bytes);
  EXPECT_TRUE(refuses(run({"rwkv", "data", "verify", path("set")}), 3, shard.filename().string()));
}

// 6 tokens in two documents, as Megatron's and RWKV-LM's tools write them.
void write_binidx(const std::string& stem) {
  std::string idx("MMIDIDX\0\0\1\0\0\0\0\0\0\0\x08", 18);
  for (const std::int64_t n : {2, 3}) idx.append(reinterpret_cast<const char*>(&n), 8);
  for (const std::int32_t n : {4, 2}) idx.append(reinterpret_cast<const char*>(&n), 4);
  for (const std::int64_t n : {0, 8, 0, 1, 2}) idx.append(reinterpret_cast<const char*>(&n), 8);
  spew(stem + ".idx", idx);
  spew(stem + ".bin", std::string("o\0n\0e\0\n\0h\0\n\0", 12));
}

TEST_F(RwkvData, ForeignFiles) {
  write_binidx(path("x"));
  EXPECT_TRUE(refuses(run({"rwkv", "data", "inspect", path("x")}), 2, "--tokenizer"));
  const Outcome inspect = run({"rwkv", "data", "inspect", path("x.idx"), "--tokenizer", "bytes"});
  ASSERT_TRUE(succeeds(inspect));
  EXPECT_TRUE(has(inspect.out, "format       megatron") && has(inspect.out, "documents    2,"))
      << inspect.out;
  EXPECT_EQ(run({"rwkv", "data", "inspect", path("x"), "--tokenizer", "bytes", "--doc", "1"}).out, "h\n");
  EXPECT_TRUE(succeeds(run({"rwkv", "data", "verify", path("x"), "--tokenizer", "bytes"})));
  EXPECT_TRUE(
      succeeds(run({"rwkv", "data", "convert", path("x"), "--tokenizer", "bytes", "-o", path("set")})));
  EXPECT_EQ(run({"rwkv", "data", "inspect", path("set"), "--doc", "0"}).out, "one\n");
  EXPECT_TRUE(succeeds(run({"rwkv", "data", "convert", path("set"), "--to", "megatron", "-o", path("y")})));
  EXPECT_EQ(slurp(path("y.bin")), slurp(path("x.bin")));
  EXPECT_EQ(slurp(path("y.idx")), slurp(path("x.idx")));
  EXPECT_TRUE(refuses(run({"rwkv", "data", "convert", path("set"), "--to", "megatron", "-o", path("y")}), 3,
                      "y.bin: exists"));
  const Outcome mixed = run({"rwkv", "data", "mix", path("set") + "=2", path("x"), "--tokenizer", "bytes",
                             "--tokens", "60", "-o", path("mixed")});
  ASSERT_TRUE(succeeds(mixed));
  EXPECT_TRUE(has(mixed.out, "set: 4")) << mixed.out;  // 40 tokens and at most a document more
  EXPECT_TRUE(succeeds(run({"rwkv", "data", "verify", path("mixed")})));
  spew(path("x.bin"), std::string("o\0n\0e\0\n\0h\0\n\1", 12));
  EXPECT_TRUE(refuses(run({"rwkv", "data", "verify", path("x"), "--tokenizer", "bytes"}), 3,
                      "x.bin: offset 5: token 266 >= vocab 256"));
  EXPECT_TRUE(refuses(run({"rwkv", "data", "verify", path(".")}), 3, "no token data"));
}

TEST_F(RwkvData, ConversationsHaveALossMask) {
  spew(dir_ / "chat.jsonl",
       R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes"}]})"
       "\n{\"prompt\":\"x\"}\n");
  const Outcome made = run({"rwkv", "data", "prepare", path("chat.jsonl"), "--out", path("chat"),
                            "--tokenizer", "bytes", "--template", "rwkv"});
  ASSERT_TRUE(succeeds(made));
  EXPECT_TRUE(has(made.out, "26 tokens, 1 documents")) << made.out;
  EXPECT_TRUE(has(made.err, "chat.jsonl:2: has no \"response\"")) << made.err;
  EXPECT_EQ(run({"rwkv", "data", "inspect", path("chat"), "--doc", "0"}).out,
            "User: Hi\n\nAssistant: Yes\n\n");
  EXPECT_TRUE(has(run({"rwkv", "data", "inspect", path("chat")}).out, "trained on   6 tokens"));
  EXPECT_TRUE(succeeds(run({"rwkv", "data", "verify", path("chat")})));
  std::string bytes = slurp(dir_ / "chat" / "loss_mask.rmask");
  bytes[64] = static_cast<char>(bytes[64] ^ 1);
  spew(dir_ / "chat" / "loss_mask.rmask", bytes);
  EXPECT_TRUE(refuses(run({"rwkv", "data", "verify", path("chat")}), 3, "loss_mask.rmask"));
}

TEST_F(RwkvData, EncodeDecode) {
  const std::string text = "h\xC3\xA9llo\n";
  const Outcome ids = run({"rwkv", "data", "encode", "--tokenizer", "bytes"}, text);
  EXPECT_EQ(ids.out, "104 195 169 108 108 111 10\n");
  EXPECT_EQ(run({"rwkv", "data", "decode", "--tokenizer", "bytes"}, ids.out).out, text);
  EXPECT_TRUE(refuses(run({"rwkv", "data", "decode", "--tokenizer", "bytes"}, "7 x"), 3, "not a token id"));
  EXPECT_TRUE(refuses(run({"rwkv", "data", "decode", "--tokenizer", "bytes"}, "256"), 3, "256"));
  spew(dir_ / "abc.txt", "cab");
  ASSERT_TRUE(
      succeeds(run({"rwkv", "data", "prepare", path("abc.txt"), "-o", path("set"), "--tokenizer", "chars"})));
  EXPECT_EQ(run({"rwkv", "data", "encode", "--tokenizer", path("set")}, "abba").out, "0 1 1 0\n");
  EXPECT_TRUE(refuses(run({"rwkv", "data", "encode", "--tokenizer", path("set")}, "xyz"), 3, "byte 0"));
  EXPECT_TRUE(refuses(run({"rwkv", "data", "encode", "--tokenizer", "chars"}), 2, "alphabet"));
}

TEST_F(RwkvData, Stories) {
  const Outcome two = run({"rwkv", "data", "stories", "--count", "2", "--seed", "5"});
  ASSERT_TRUE(succeeds(two));
  EXPECT_EQ(lines(two.out), 2u);
  EXPECT_TRUE(
      has(two.out, run({"rwkv", "data", "stories", "--count", "1", "--seed", "5", "--first", "1"}).out));
  ASSERT_TRUE(
      succeeds(run({"rwkv", "data", "stories", "--tokens", "0.01M", "--seed", "5", "-o", path("set")})));
  const Outcome first = run({"rwkv", "data", "inspect", path("set"), "--doc", "0"});
  EXPECT_TRUE(two.out.starts_with(first.out) && !first.out.empty()) << first.out;
  EXPECT_TRUE(refuses(run({"rwkv", "data", "stories"}), 2, "--tokens or --count"));
  EXPECT_TRUE(refuses(run({"rwkv", "data", "stories", "--tokens", "4x"}), 2, "\"4x\" is not a count"));
  EXPECT_TRUE(refuses(run({"rwkv", "data", "prepare", "/no/such", "-o", path("x"), "--tokenizer", "bytes"}),
                      3, "/no/such"));
}

}  // namespace
}  // namespace rt::apps_test
