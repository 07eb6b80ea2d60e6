#include "rt/data/chat_template.h"

#include "rt/data/loss_mask.h"
#include "rt/data/prepare.h"
#include "rt/data/token_set.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

// The text with what is trained on in [].
std::string marked(ChatTemplate form, std::string_view line) {
  std::string why, out;
  const auto messages = parse_chat(line, why);
  for (const ChatPiece& piece : chat_pieces(form, messages, why))
    out += piece.trained ? "[" + piece.text + "]" : piece.text;
  EXPECT_EQ(why, "") << line;
  return out;
}

std::string refused(ChatTemplate form, std::string_view line) {
  std::string why;
  const auto messages = parse_chat(line, why);
  if (why.empty()) { EXPECT_TRUE(chat_pieces(form, messages, why).empty()); }
  EXPECT_NE(why, "") << line;
  return why;
}

constexpr char kTalk[] =
    R"({"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":" Hi\r\n\r\nthere\n"},)"
    R"({"role":"assistant","content":"Hello.\n\nWhat is it?"},{"role":"user","content":"2+2"},)"
    R"({"role":"assistant","content":"4"}]})";

TEST(ChatTemplate, Rwkv) {
  EXPECT_EQ(marked(ChatTemplate::Rwkv, kTalk),
            "System: Be brief.\n\nUser: Hi\nthere\n\nAssistant:[ Hello.\nWhat is it?\n\n]User: 2+2\n\n"
            "Assistant:[ 4\n\n]");
  EXPECT_EQ(marked(ChatTemplate::Rwkv, R"({"prompt":"Q?","response":"A."})"),
            "User: Q?\n\nAssistant:[ A.\n\n]");
}

TEST(ChatTemplate, ChatMl) {
  EXPECT_EQ(marked(ChatTemplate::ChatMl, kTalk),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi\r\n\r\nthere\n<|im_end|>\n"
            "<|im_start|>assistant\n[Hello.\n\nWhat is it?<|im_end|>]\n<|im_start|>user\n2+2<|im_end|>\n"
            "<|im_start|>assistant\n[4<|im_end|>]\n");
  EXPECT_EQ(marked(ChatTemplate::ChatMl,
                   R"({"messages":[{"role":"tool","content":"x"},{"role":"assistant","content":"y"}]})"),
            "<|im_start|>tool\nx<|im_end|>\n<|im_start|>assistant\n[y<|im_end|>]\n");
}

TEST(ChatTemplate, SaysWhatIsWrongWithALine) {
  const auto rwkv = [](std::string_view line) { return refused(ChatTemplate::Rwkv, line); };
  expect_contains(rwkv("{\"messages\":"), "not valid JSON near column");
  EXPECT_EQ(rwkv("[1]"), "is no conversation: no array \"messages\", no \"prompt\" and \"response\"");
  EXPECT_EQ(rwkv(R"({"text":"x"})"),
            "is no conversation: no array \"messages\", no \"prompt\" and \"response\"");
  EXPECT_EQ(rwkv(R"({"prompt":"x"})"), "has no \"response\"");
  EXPECT_EQ(rwkv(R"({"prompt":1,"response":"x"})"), "\"prompt\" is a number, not a string");
  EXPECT_EQ(rwkv(R"({"messages":[]})"), "has no messages");
  EXPECT_EQ(rwkv(R"({"messages":[3]})"), "message 1 is not an object");
  EXPECT_EQ(rwkv(R"({"messages":[{"role":"user","content":"x"},{"content":"y"}]})"),
            "message 2 has no \"role\"");
  EXPECT_EQ(rwkv(R"({"messages":[{"role":"user","content":["x"]}]})"),
            "message 1 \"content\" is a array, not a string");
  EXPECT_EQ(rwkv(R"({"messages":[{"role":"tool","content":"x"}]})"),
            "message 1 is of role \"tool\"; the template has system, user and assistant");
  EXPECT_EQ(rwkv(R"({"messages":[{"role":"user","content":"x"}]})"),
            "has no message of role assistant: nothing to train on");
  EXPECT_EQ(rwkv(R"({"prompt":"x","response":" \n"})"), "message 2 is empty");
}

TEST(ChatTemplate, PreparedConversationsHaveAMask) {
  const TempDir temp;
  write_file(temp / "a.jsonl",
             std::string(kTalk) + "\n{\"prompt\":\"x\"}\n\n" + R"({"prompt":"Q","response":"A"})");
  const auto tokenizer = make_byte_tokenizer();
  PrepareOptions options;
  options.chat = ChatTemplate::Rwkv;
  options.writer.shard_tokens = 50;
  const PrepareReport report = prepare({temp / "a.jsonl"}, temp / "out", *tokenizer, options);
  EXPECT_EQ(report.documents, 2u);
  EXPECT_EQ(report.bad_lines, 1u);
  EXPECT_EQ(report.first_bad_lines[0].why, "has no \"response\"");
  const TokenSet set(temp / "out");
  const LossMask mask(set);
  mask.verify();
  EXPECT_EQ(set.document_text(1), "User: Q\n\nAssistant: A\n\n");
  std::string text;
  std::vector<std::uint8_t> bits(set.size());
  mask.fill(0, bits.size(), bits.data());
  std::vector<std::int32_t> ids(set.size());
  set.read(0, ids.size(), ids.data());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (bits[i] != 0) text += static_cast<char>(ids[i]);
  }
  EXPECT_EQ(text, " Hello.\nWhat is it?\n\n 4\n\n A\n\n");
  EXPECT_EQ(mask.trained(), text.size());
  write_file(temp / "a.txt", "plain");
  expect_contains(error_of([&] { prepare({temp / "a.txt"}, temp / "no", *tokenizer, options); }),
                  "a.txt: is text; a chat template is for JSON lines");
}

}  // namespace
}  // namespace rt::data
