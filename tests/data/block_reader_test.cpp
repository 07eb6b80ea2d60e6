#include "data/block_reader.h"

#include "rt/data/prepare.h"
#include "tests/data/prepare_test_util.h"

namespace rt::data {
namespace {
namespace fs = std::filesystem;

constexpr std::size_t kBlock = 512, kWhole = 8 * kBlock;

PrepareOptions small_blocks(const std::optional<std::string>& separator) {
  PrepareOptions options;
  options.block_bytes = kBlock;
  options.whole_document = kWhole;
  options.separator = separator;
  return options;
}

// The documents that blocks stand for, by the rules of block_reader.h alone.
struct Collected {
  std::vector<std::string> lines, documents;
  std::vector<BlockPlace> places;  // where reading may begin again
  std::vector<std::size_t> sizes;  // of documents (a part of one counts) before each place
};

void add_block(const Block& b, const std::optional<std::string>& separator, Collected& c) {
  std::string_view text = b.text();
  if (b.kind == Block::Kind::Lines) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      c.lines.emplace_back(text.substr(at, end - at));
      at = end + 1;
    }
  } else if (b.kind == Block::Kind::Part) {
    if (b.begins) c.documents.emplace_back();
    c.documents.back() += text;
  } else if (b.kind == Block::Kind::Documents) {
    const bool nothing = text.empty();
    while (separator && !text.empty()) {
      const auto line = find_separator(text, *separator, true, true);
      if (!line) break;
      c.documents.emplace_back(text.substr(0, line->begin));
      text.remove_prefix(line->end);
    }
    if (!text.empty() || nothing) c.documents.emplace_back(text);
  }
}

Collected collect(const InputList& list, const std::optional<std::string>& separator, BlockPlace from = {}) {
  const PrepareOptions options = small_blocks(separator);
  BlockReader reader(list, options, from);
  Collected c;
  if (from.inside) c.documents.emplace_back();
  for (Block b; reader.next(b);) {
    c.places.push_back({b.file, b.offset, b.kind == Block::Kind::Part && !b.begins});
    c.sizes.push_back(c.documents.size());
    add_block(b, separator, c);
  }
  return c;
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> documents{""};
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    const std::size_t next = std::min(end + 1, text.size());
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line == separator) {
      documents.emplace_back();
    } else {
      documents.back() += text.substr(at, next - at);
    }
    at = next;
  }
  if (documents.back().empty() && documents.size() > 1) documents.pop_back();
  return documents;
}

// Text whose separators fall on, before and behind the borders of blocks and of whole documents.
std::string text_around_borders(const std::string& end_of_line, int shift) {
  std::string text;
  const auto fill_to = [&](std::size_t size) {
    while (text.size() < size) text += "0123456789abcdef0123456789abcde\n";
    text.resize(size - 1);
    text += '\n';
  };
  for (const std::size_t border : {kBlock, 2 * kBlock, 3 * kBlock + kWhole, 5 * kBlock + 2 * kWhole}) {
    fill_to(border + static_cast<std::size_t>(shift + 8) - 8 - 8);
    text += "---" + end_of_line;
  }
  return text + "tail---\n---" + end_of_line;
}

TEST(BlockReader, SeparatorsAtEveryPlaceAroundABorder) {
  const TempDir tmp;
  for (const char* end : {"\n", "\r\n"}) {
    for (int shift = 0; shift < 10; ++shift) {
      const std::string text = text_around_borders(end, shift);
      write_file(tmp / "a.txt", text);
      const InputList list = list_inputs({tmp / "a.txt"}, InputFormat::Auto);
      EXPECT_TRUE(collect(list, "---").documents == split(text, "---")) << shift;
      EXPECT_TRUE(collect(list, std::nullopt).documents == std::vector<std::string>{text}) << shift;
    }
  }
}

TEST(BlockReader, ReadingCanBeginAtEveryBlock) {
  const TempDir tmp;
  write_odd_inputs(tmp / "in");
  write_file(tmp / "in" / "e.md", text_around_borders("\n", 3));
  const InputList list = list_inputs({tmp / "in"}, InputFormat::Auto);
  for (const auto& separator : {std::optional<std::string>("---"), std::optional<std::string>()}) {
    const Collected all = collect(list, separator);
    ASSERT_GT(all.places.size(), 40u);
    for (std::size_t i = 0; i < all.places.size(); i += i < 20 ? 1 : 3) {
      const Collected rest = collect(list, separator, all.places[i]);
      ASSERT_GE(all.lines.size(), rest.lines.size());
      EXPECT_TRUE(std::equal(rest.lines.rbegin(), rest.lines.rend(), all.lines.rbegin())) << i;
      const bool inside = all.places[i].inside;
      ASSERT_EQ(rest.documents.size() + all.sizes[i] - inside, all.documents.size()) << i;
      for (std::size_t d = 0; d < rest.documents.size(); ++d) {
        const std::string& whole = all.documents[all.sizes[i] - inside + d];
        EXPECT_TRUE(inside && d == 0 ? whole.ends_with(rest.documents[d]) : whole == rest.documents[d]) << i;
      }
    }
  }
}

TEST(BlockReader, AnInsidePlaceInTheMiddleOfALineIsNoLineStart) {
  const TempDir tmp;
  write_file(tmp / "a.txt", "x---\ny\n---\nz");
  const InputList list = list_inputs({tmp / "a.txt"}, InputFormat::Auto);
  EXPECT_EQ(collect(list, "---", {0, 1, true}).documents, (std::vector<std::string>{"---\ny\n", "z"}));
  EXPECT_EQ(collect(list, "---", {0, 5, true}).documents, (std::vector<std::string>{"y\n", "z"}));
}

// What is a long line depends on its length, not on where blocks begin.
TEST(BlockReader, LinesBeyondTheLimitAreSkippedWithTheirLength) {
  const TempDir tmp;
  for (const std::size_t length : {2 * kBlock, 2 * kBlock + 1, 3 * kBlock, 9 * kBlock + 5}) {
    const std::string longest(length, 'x');
    write_file(tmp / "a.jsonl", "first\n" + longest + "\nlast");
    write_file(tmp / "b.jsonl", "\n" + longest);
    const InputList list = list_inputs({tmp / "a.jsonl", tmp / "b.jsonl"}, InputFormat::Auto);
    PrepareOptions options = small_blocks(std::nullopt);
    options.longest_line = 2 * kBlock;
    BlockReader reader(list, options);
    Collected c;
    std::vector<std::uint64_t> skipped;
    for (Block b; reader.next(b);) {
      if (b.kind == Block::Kind::LongLine) skipped.push_back(b.length);
      add_block(b, std::nullopt, c);
    }
    if (length == 2 * kBlock) {
      EXPECT_TRUE(skipped.empty());
      EXPECT_TRUE(c.lines == (std::vector<std::string>{"first", longest, "last", "", longest}));
    } else {
      EXPECT_EQ(skipped, (std::vector<std::uint64_t>{length, length}));
      EXPECT_TRUE(c.lines == (std::vector<std::string>{"first", "last", ""}));
    }
  }
}

}  // namespace
}  // namespace rt::data
