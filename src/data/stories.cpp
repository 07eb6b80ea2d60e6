#include "rt/data/stories.h"

#include <cmath>
#include <ostream>

#include "data/story_grammar.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

constexpr std::uint64_t kProgressEvery = 1'000'000;

void add_characters(const Text& text, CharVocabulary& vocabulary) {
  for (const Part& part : text) {
    for (const char c : part.literal) {
      if (c != '~') vocabulary.add(std::string_view(&c, 1));  // the mark of "a~", in no story
    }
    for (const Text& alternative : part.alternatives) add_characters(alternative, vocabulary);
  }
}

}  // namespace

std::string story(std::uint64_t seed, std::uint64_t index) {
  const Rng rng = Rng{seed, 0}.child("stories").child(index);
  const std::vector<Plot>& plots = story_plots();
  return plots[rng.child("plot").below(0, plots.size())].tell(rng);
}

double story_space_log10() {
  double total = 0;
  for (const Plot& plot : story_plots()) total += plot.count();
  return std::log10(total);
}

void write_stories(std::ostream& out, std::uint64_t seed, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) out << story(seed, first + i);
  if (!out) fail(Exit::Data, "stories: cannot write to the output");
}

std::unique_ptr<Tokenizer> story_tokenizer(const std::string& type) {
  if (type == "bytes") return make_byte_tokenizer();
  if (type != "chars")
    fail(Exit::Config, "tokenizer '{}' is not known for stories; known: bytes, chars", type);
  CharVocabulary vocabulary;
  // Letters beyond the grammar's own let prompts hold any name.
  vocabulary.add("\n ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,!?'\"");
  for (const Plot& plot : story_plots()) {
    for (const Table& table : plot.tables) {
      for (const auto& row : table.rows()) {
        for (const Text& cell : row) add_characters(cell, vocabulary);
      }
    }
    add_characters(plot.text, vocabulary);
  }
  return vocabulary.build();
}

StoriesReport write_stories(const std::filesystem::path& dir, const Tokenizer& tokenizer,
                            const StoriesOptions& options) {
  if (options.tokens == 0) fail(Exit::Config, "stories: the number of tokens to write must be positive");
  WriterOptions writer_options = options.writer;
  if (writer_options.description.empty()) {
    writer_options.description = format("stories seed={} first={}", options.seed, options.first);
  }
  TokenSetWriter writer(dir, tokenizer, writer_options);
  StoriesReport report;
  std::vector<std::int32_t> ids;
  std::uint64_t reported = 0;
  while (writer.tokens() < options.tokens) {
    const std::string text = story(options.seed, options.first + report.stories++);
    report.bytes += text.size();
    ids.clear();
    tokenizer.encode_some(text, true, 0, ids);
    writer.begin_document();
    writer.append(ids);
    if (options.progress && writer.tokens() - reported >= kProgressEvery) {
      options.progress(reported = writer.tokens());
    }
  }
  report.tokens = writer.tokens();
  writer.finish();
  return report;
}

}  // namespace rt::data
