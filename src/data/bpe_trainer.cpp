#include "rt/data/bpe_trainer.h"

#include <algorithm>

#include "data/block_pipeline.h"
#include "data/document_sink.h"
#include "data/hf_json.h"
#include "data/json.h"
#include "data/pair_merger.h"
#include "data/splitter.h"
#include "data/windows.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

using Json = nlohmann::ordered_json;

const char* pattern_of(const std::string& name) {
  if (name == "gpt2") return kGpt2Pattern;
  if (name == "llama3") return kLlama3Pattern;
  if (name == "qwen2") return kQwen2Pattern;
  fail(Exit::Config, "the pattern {} is not known; use gpt2, llama3 or qwen2", name);
}

bool ends_word(char c) { return c > ' ' && c < 0x7F; }

// The last blank of `text` behind a printable character: there a pre-token begins. 0: none.
std::size_t last_cut(std::string_view text) {
  for (std::size_t at = text.size() - 1; at > 0; --at) {
    if (text[at] == ' ' && ends_word(text[at - 1])) return at;
  }
  return 0;
}

// The single bytes in the order of the characters that they are written as.
std::vector<std::string> alphabet() {
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) {
    const char c = static_cast<char>(b);
    bytes.push_back(byte_level_encode({&c, 1}));
  }
  std::sort(bytes.begin(), bytes.end());  // UTF-8 sorts as its code points
  return bytes;
}

Json byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json pre_tokenizer(const BpeTrainOptions& options) {
  if (options.pattern == "gpt2") return byte_level(true);
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", pattern_of(options.pattern)}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level(false)})}};
}

std::string to_json(const BpeTrainOptions& options, const std::vector<std::string>& tokens, Json merges) {
  Json added = Json::array(), vocab = Json::object();
  for (std::size_t i = 0; i < options.special.size(); ++i) {
    added.push_back({{"id", i},
                     {"content", options.special[i]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  // ordered_json searches its keys one by one when it inserts: the list is made first and becomes an object
  // at once.
  std::vector<std::pair<std::string, std::size_t>> entries;
  for (std::size_t i = 0; i < tokens.size(); ++i) entries.emplace_back(tokens[i], i);
  auto& object = vocab.get_ref<Json::object_t&>();
  for (auto& [token, id] : entries) object.emplace_back(token, id);
  Json json;
  json["version"] = "1.0";
  json["truncation"] = json["padding"] = nullptr;
  json["added_tokens"] = std::move(added);
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = pre_tokenizer(options);
  json["post_processor"] = nullptr;
  json["decoder"] = byte_level(true);
  json["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", false},
                   {"vocab", std::move(vocab)},
                   {"merges", std::move(merges)}};
  return json_text(json, 1) + "\n";
}

}  // namespace

BpeTrainer::BpeTrainer(const BpeTrainOptions& options)
    : options_(options), splitter_(make_splitter(pattern_of(options.pattern), "--pattern")) {
  const auto least = static_cast<std::int64_t>(256 + options.special.size());
  if (options.vocab < least || options.vocab > 1 << 24) {
    fail(Exit::Config,
         "a vocabulary of {} tokens is not possible; give at least {} (the bytes and {} special tokens)",
         options.vocab, least, options.special.size());
  }
  std::vector<std::string> special = options.special;
  std::sort(special.begin(), special.end());
  for (std::size_t i = 0; i < special.size(); ++i) {
    const bool twice = i > 0 && special[i] == special[i - 1];
    if (special[i].empty() || twice)
      fail(Exit::Config, "a special token is {}", twice ? "there twice" : "empty");
  }
}

BpeTrainer::~BpeTrainer() = default;

std::size_t BpeTrainer::add(std::string_view text, bool last) {
  std::vector<std::size_t> ends;
  std::string word;
  return for_each_window(text, last, last_cut, [&](std::string_view part, std::size_t) {
    ends.clear();
    splitter_->split(part, ends);
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      word.assign(part, begin, end - begin);
      ++counts_[word];
      begin = end;
    }
  });
}

std::string BpeTrainer::train() const {
  if (counts_.empty()) fail(Exit::Data, "there is no text to learn from: the inputs are empty");
  std::vector<std::string> tokens = options_.special;
  std::unordered_map<std::string, std::int32_t> ids;
  for (const std::string& byte : alphabet()) tokens.push_back(byte);
  for (std::size_t i = 0; i < tokens.size(); ++i) ids.emplace(tokens[i], static_cast<std::int32_t>(i));
  PairMerger merger;
  for (const auto& [word, count] : counts_) {
    std::vector<std::int32_t> parts;
    for (const char& c : word) parts.push_back(ids.at(byte_level_encode({&c, 1})));
    merger.add_word(std::move(parts), count);
  }
  Json merges = Json::array();
  PairMerger::Pair pair;
  while (static_cast<std::int64_t>(tokens.size()) < options_.vocab && merger.best(options_.min_count, pair)) {
    const std::string& left = tokens[static_cast<std::size_t>(pair.first)];
    const std::string& right = tokens[static_cast<std::size_t>(pair.second)];
    merges.push_back(left + " " + right);
    // Two pairs may spell the same token.
    const auto [place, is_new] = ids.emplace(left + right, static_cast<std::int32_t>(tokens.size()));
    if (is_new) tokens.push_back(place->first);
    merger.merge(pair, place->second);
  }
  return to_json(options_, tokens, std::move(merges));
}

namespace {

class TrainerTarget final : public TextTarget {
 public:
  explicit TrainerTarget(BpeTrainer& trainer) : trainer_(trainer) {}
  std::size_t take_text(std::string_view text, bool last, std::uint64_t) override {
    return trainer_.add(text, last);
  }

 private:
  BpeTrainer& trainer_;
};

}  // namespace

BpeTrainReport train_bpe(const std::vector<std::filesystem::path>& inputs, const BpeTrainOptions& options,
                         const PrepareOptions& reading) {
  BpeTrainReport report;
  BpeTrainer trainer(options);
  const InputList list = list_inputs(inputs, reading.format);
  BlockReader reader(list, reading, {});
  TrainerTarget target(trainer);
  DocumentSink sink(list, reading, target);
  run_pipeline(reader, reading, nullptr, 1,
               [&](const Block& block, Encoded& encoded) { sink.take(block, encoded); });
  report.documents = target.documents();
  report.bad_lines = sink.totals().bad_lines;
  report.bytes = list.bytes;
  report.files = list.files.size();
  report.words = trainer.words();
  report.json = trainer.train();
  report.tokens = tokenizer_from_json(report.json, "the new tokenizer")->vocab_size();
  return report;
}

}  // namespace rt::data
