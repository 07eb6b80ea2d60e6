#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "rt/data/stored_tokens.h"
#include "rt/data/token_writer.h"

namespace rt::data {

struct MixPart {
  const StoredTokens* source = nullptr;
  double weight = 1;  // share of the tokens, relative to the other parts'
};

struct MixOptions {
  // Written in whole documents until at least so many tokens are there, with the documents of a part that
  // runs out taken again in another order. 0: until the first part runs out, so that nothing is there twice.
  std::uint64_t tokens = 0;
  std::uint64_t seed = 0;
  WriterOptions writer;
  std::function<void(std::uint64_t tokens)> progress;  // about every million tokens; may be empty
};

struct MixShare {
  std::uint64_t tokens = 0, documents = 0;
  double epochs = 0;  // of the part's documents
};

// Writes a token directory of whole documents from several sources. The next document is of the part that is
// furthest behind its share (the first of several), and within a part in the order of Permutation(documents,
// seed + its index, epoch): a pure function of the sources and options. One MixShare for each part.
// Exit::Data when the parts were made with different tokenizers, Exit::Config for weights that are not
// positive.
std::vector<MixShare> mix(const std::vector<MixPart>& parts, const std::filesystem::path& dir,
                          const MixOptions& options);

}  // namespace rt::data
