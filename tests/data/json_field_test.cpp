#include "data/json_field.h"

#include "rt/core/rng.h"
#include "tests/data/prepare_test_util.h"

namespace rt::data {
namespace {

struct Answer {
  bool good;
  std::string text, why;
  bool operator==(const Answer& o) const { return good == o.good && text == o.text && why == o.why; }
};

Answer ask(JsonField& field, const std::string& line) {
  // What stands behind the line must not matter: here it would go on as valid JSON.
  std::string buffer = line + "\"}, {\"text\": \"behind\"}";
  buffer.resize(line.size() + JsonField::kPadding, '7');
  std::string_view text;
  Answer a{false, "", ""};
  a.good = field.get(std::string_view(buffer).substr(0, line.size()), text, a.why);
  if (a.good) {
    a.text = text;
    a.why.clear();
  }
  return a;
}

Answer ask_slowly(const std::string& line) {
  Answer a{false, "", ""};
  a.good = json_field_slowly(line, "text", a.text, a.why);
  if (!a.good) a.text.clear();
  return a;
}

TEST(JsonField, TakesWhatJsonHas) {
  const std::pair<std::string, std::string> cases[] = {
      {R"({"text": "plain"})", "plain"},
      {R"( {"a": {"text": "inner"}, "text" : "outer", "b": ["text"]} )", "outer"},
      {R"({"text": "one", "text": "two"})", "two"},
      {R"({"text": 1, "text": "two"})", "two"},
      {R"({"te\u0078t": "key with an escape"})", "key with an escape"},
      {R"({"text": "\u00e9\ud83d\ude00\n\/\"\\"})", "\xC3\xA9\xF0\x9F\x98\x80\n/\"\\"},
      {R"({"text": "nul \u0000 too"})", std::string("nul \0 too", 9)},
      {R"({"n": 123456789012345678901234567890, "text": "x"})", "x"},
      {"\xEF\xBB\xBF{\"text\": \"mark\"}", "mark"},
      {R"({"text": ""})", ""},
  };
  JsonField field("text");
  for (const auto& [line, text] : cases) {
    EXPECT_EQ(ask(field, line), (Answer{true, text, ""})) << line;
    EXPECT_EQ(ask_slowly(line), (Answer{true, text, ""})) << line;
  }
}

TEST(JsonField, SaysWhatIsWrongAndWhere) {
  const std::pair<std::string, std::string> cases[] = {
      {R"({"text": "a"} x)", "not valid JSON near column 15"},
      {R"({"text": "half a \ud800 pair"})", "near column 24: invalid string: surrogate"},
      {R"({"text": "\udc00"})", "surrogate"},
      {"{\"text\": \"a\xFF\"}", "near column 12: invalid string: ill-formed UTF-8"},
      {std::string("{\"text\": \"a\0\"}", 14), "control character U+0000"},
      {"{\"text\": \"a\tb\"}", "control character U+0009"},
      {R"({"n": 1e999, "text": "x"})", "not valid JSON near column 11"},
      {R"({"text": "never closed)", "missing closing quote"},
      {R"(["text"])", "not a JSON object"},
      {R"("text")", "not a JSON object"},
      {R"({"body": {"text": "x"}})", "has no field \"text\""},
      {R"({"text": "x", "text": 5})", "field \"text\" is a number, not a string"},
      {R"({"text": null})", "is null, not a string"},
      {R"({"text": false})", "is a boolean"},
      {R"({"text": {}})", "is an object"},
      {R"({"text": ["x"]})", "is an array"},
  };
  JsonField field("text");
  for (const auto& [line, why] : cases) {
    const Answer quick = ask(field, line);
    EXPECT_FALSE(quick.good) << line;
    expect_contains(quick.why, why);
    EXPECT_EQ(quick, ask_slowly(line)) << line;
  }
}

// Two parsers, one answer, whatever the bytes.
TEST(JsonField, QuickAndSlowAgreeOnDamagedLines) {
  const std::string line =
      "{\"id\": -12.5e3, \"meta\": {\"a\": [true, null, \"\\u0041\"]}, \"text\": \"x \\ud83d\\ude00 \xC3\xA9 "
      "\\\\\"}";
  constexpr char kBytes[] = "\0\"\\{}[],:019eE+-.tfn \t\r\x80\xC3\xED\xA0\xFF";
  const std::string bytes(kBytes, sizeof(kBytes) - 1);
  const Rng rng{11, 2};
  JsonField field("text");
  int good = 0;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    std::string damaged = line;
    const std::size_t at = rng.below(4 * i, line.size());
    switch (rng.below(4 * i + 1, 3)) {
      case 0: damaged[at] = bytes[rng.below(4 * i + 2, bytes.size())]; break;
      case 1: damaged.erase(at, 1 + rng.below(4 * i + 2, 3)); break;
      default: damaged.insert(at, 1, bytes[rng.below(4 * i + 2, bytes.size())]);
    }
    const Answer quick = ask(field, damaged);
    good += quick.good;
    ASSERT_EQ(quick, ask_slowly(damaged)) << damaged;
  }
  EXPECT_GT(good, 1000);
  EXPECT_LT(good, 19'000);
}

TEST(JsonField, DeepNestingAndLongLines) {
  JsonField field("text");
  const std::string deep(3000, '[');
  const std::string line = "{\"a\": " + deep + std::string(3000, ']') + ", \"text\": \"below\"}";
  EXPECT_EQ(ask(field, line).text, "below");
  EXPECT_FALSE(ask(field, "{\"a\": " + deep).good);
  const std::string text(3 << 20, 'x');
  EXPECT_EQ(ask(field, "{\"text\": \"" + text + "\"}").text, text);
  EXPECT_EQ(ask(field, R"({"text": "short again"})").text, "short again");
}

}  // namespace
}  // namespace rt::data
