#include "rt/data/stories.h"

#include <algorithm>
#include <sstream>
#include <unordered_set>

#include "data/hash.h"
#include "data/story_grammar.h"
#include "rt/data/token_set.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

TEST(Stories, NeverChangeSilently) {
  std::string many;
  for (std::uint64_t i = 0; i < 1000; ++i) many += story(1, i);
  EXPECT_EQ(hex16(xxh3(story(1, 0))), "765e2418d981a6ae") << story(1, 0);
  EXPECT_EQ(hex16(xxh3(many)), "1d441c5fb9eb6874");
}

TEST(Stories, ArePureFunctionsOfSeedAndIndex) {
  EXPECT_EQ(story(5, 123456789012345), story(5, 123456789012345));
  EXPECT_NE(story(5, 1), story(5, 2));
  EXPECT_NE(story(5, 1), story(6, 1));
  std::ostringstream out;
  write_stories(out, 5, 10, 3);
  EXPECT_EQ(out.str(), story(5, 10) + story(5, 11) + story(5, 12));
}

TEST(Stories, SpaceIsLargeAndCountedFromWhatShows) {
  EXPECT_GE(story_space_log10(), 12.0);
  for (const Plot& plot : story_plots()) EXPECT_EQ(plot.hidden_choice(), "") << plot.name;
}

TEST(Stories, SampledStoriesAreDistinct) {
  std::unordered_set<std::uint64_t> seen;
  for (std::uint64_t i = 0; i < 20000; ++i) EXPECT_TRUE(seen.insert(xxh3(story(3, i))).second) << i;
}

TEST(Stories, AreWellFormedLines) {
  std::vector<std::size_t> lengths;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    const std::string s = story(9, i);
    lengths.push_back(s.size());
    ASSERT_EQ(s.find('\n'), s.size() - 1);
    EXPECT_EQ(s.substr(s.size() - 2), ".\n") << s;
    EXPECT_EQ(std::count(s.begin(), s.end(), '"') % 2, 0) << s;
    for (const char c : s) ASSERT_TRUE(c == '\n' || (c >= ' ' && c <= 'z')) << s;
    for (const char* bad : {"  ", "[",    "]",    "|",    "<",    "^",    "..",    " .",    " ,",
                            ",,", " a a", " a e", " a i", " a o", " a u", " an b", " an s", " an l",
                            "?.", "!.",   ". a",  ". h",  ". s",  ". t",  ", A ",  " A a"}) {
      EXPECT_EQ(s.find(bad), std::string::npos) << "'" << bad << "' in: " << s;
    }
  }
  std::sort(lengths.begin(), lengths.end());
  EXPECT_GE(lengths[250], 300u);
  EXPECT_LE(lengths[2500], 700u);
  EXPECT_LE(lengths.back(), 1000u);
}

// A story of one gender never uses the other's pronouns unless its friend is there.
TEST(Stories, PronounsAgreeInStoriesOfOneCharacter) {
  const auto has = [](const std::string& s, const char* word) { return s.find(word) != std::string::npos; };
  int checked = 0;
  for (const Plot& plot : story_plots()) {
    const auto& fields = plot.tables[0].fields();
    if (std::find(fields.begin(), fields.end(), "F") != fields.end()) continue;
    for (std::uint64_t i = 0; i < 200; ++i) {
      const std::string s = plot.tell(Rng{11, i});
      const bool he = has(s, " he ") || has(s, "He ") || has(s, " his "),
                 she = has(s, " she ") || has(s, "She ");
      EXPECT_NE(he, she) << s;
      ++checked;
    }
  }
  EXPECT_GE(checked, 1000);
}

TEST(StoryGrammar, CountsAndExpands) {
  const Macros macros = {{"size", "[big|small]"}};
  EXPECT_EQ(count_texts(parse_text("x", macros)), 1);
  EXPECT_EQ(count_texts(parse_text("[a|b|] {size} [c[d|e]|f]", macros)), 3 * 2 * 3);
  const Table table("it ; its\n [dog|cat|cow] ; a {size} one\n owl ; b", macros);
  EXPECT_EQ(table.count(), 3 * 2 + 1);
  Plot plot{"p", {table}, parse_text("<^it> saw\n a~<it>  , [x|y].", macros)};
  EXPECT_EQ(plot.count(), 14);
  EXPECT_EQ(plot.hidden_choice(), "p: <its>");
  plot.text = parse_text("<it> <its> [x|y]", macros);
  EXPECT_EQ(plot.hidden_choice(), "");
  std::unordered_set<std::string> seen;
  for (std::uint64_t i = 0; i < 2000; ++i) seen.insert(plot.tell(Rng{1, i}));
  EXPECT_EQ(seen.size(), 14u);
  plot.text = parse_text("[<it>|none] <its>", macros);
  EXPECT_EQ(plot.hidden_choice(), "p: <it>");
  EXPECT_EQ((Plot{"q", {}, parse_text(" a~[apple] and\n\n a~[pear]", macros)}.tell(Rng{})),
            "an apple and a pear\n");
  EXPECT_THROW(parse_text("[a|b", macros), Error);
  EXPECT_THROW(parse_text("a]", macros), Error);
  EXPECT_THROW(parse_text("{no}", macros), Error);
  EXPECT_THROW(Table("a ; b\n x", macros), Error);
}

TEST(Stories, WriteATokenDirectory) {
  const TempDir tmp;
  for (const char* type : {"bytes", "chars"}) {
    const auto tokenizer = story_tokenizer(type);
    StoriesOptions options;
    options.seed = 4;
    options.first = 100;
    options.tokens = 20000;
    const StoriesReport report = write_stories(tmp / type, *tokenizer, options);
    const TokenSet set(tmp / type);
    set.verify();
    EXPECT_EQ(report.tokens, set.size());
    EXPECT_GE(set.size(), 20000u);
    EXPECT_LT(set.size(), 21000u);
    EXPECT_EQ(report.bytes, set.size());
    ASSERT_EQ(set.documents(), report.stories);
    for (std::uint64_t i = 0; i < set.documents(); ++i) EXPECT_EQ(set.document_text(i), story(4, 100 + i));
    EXPECT_EQ(set.description(), "stories seed=4 first=100");
  }
  EXPECT_LT(TokenSet(tmp / "chars").vocab_size(), 70);
  StoriesOptions none;
  error_of([&] { write_stories(tmp / "none", *make_byte_tokenizer(), none); }, Exit::Config);
  error_of([] { story_tokenizer("bpe"); }, Exit::Config);
}

}  // namespace
}  // namespace rt::data
