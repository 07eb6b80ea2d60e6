#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

#include "rt/data/token_writer.h"
#include "rt/data/tokenizer.h"

namespace rt::data {

// Tiny English stories from a grammar of our own (src/data/story_plots_*.cpp): simple words, consistent names
// and pronouns, a cause, a consequence and a moral. Data for learning and for tests that needs no download
// and no licence.
//
// Story `index` of `seed`, one line of ASCII ending in '\n', usually 550 to 800 bytes. A pure function: any
// story can be had without those before it, and all programs of one version agree on it.
std::string story(std::uint64_t seed, std::uint64_t index);

// log10 of how many different texts the grammar can produce, counted from the grammar.
double story_space_log10();

// Stories [first, first + count), one per line.
void write_stories(std::ostream& out, std::uint64_t seed, std::uint64_t first, std::uint64_t count);

// "bytes", or "chars" with the characters that stories are made of. Exit::Config for another type.
std::unique_ptr<Tokenizer> story_tokenizer(const std::string& type);

struct StoriesOptions {
  std::uint64_t seed = 0;
  std::uint64_t first =
      0;  // index of the first story: ranges of one seed that do not overlap share no story index
  std::uint64_t tokens = 0;  // whole stories are written until there are at least this many
  WriterOptions writer;      // an empty description is filled in
  std::function<void(std::uint64_t)> progress;  // tokens so far, about every million; may be empty
};

struct StoriesReport {
  std::uint64_t stories = 0, tokens = 0, bytes = 0;
};

// A token directory with one story per document.
StoriesReport write_stories(const std::filesystem::path& dir, const Tokenizer& tokenizer,
                            const StoriesOptions& options);

}  // namespace rt::data
