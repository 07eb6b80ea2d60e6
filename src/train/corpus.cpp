#include "rt/train/corpus.h"

#include <cstdio>

#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/data/loss_mask.h"
#include "rt/data/open_source.h"
#include "rt/data/prepare.h"
#include "rt/data/stories.h"
#include "rt/io/file.h"

namespace rt {
namespace {

namespace fs = std::filesystem;

std::string type_name(const RunConfig& config) {
  return std::string(config::to_string(config.tokenizer.type));
}

std::string hex(std::uint64_t v) {
  char text[20];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(v));
  return text;
}

// Changes when the text does, so that an edited file is not served from the cache.
std::string content_key(const fs::path& path) {
  if (fs::is_regular_file(path)) return hex(io::digest_file(path).xxh3);
  std::string listing;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (!entry.is_regular_file()) continue;
    const auto changed = entry.last_write_time().time_since_epoch().count();
    listing += format("{} {} {}\n", entry.path().string(), entry.file_size(), changed);
  }
  return hex(io::xxh3(std::as_bytes(std::span(listing))));
}

}  // namespace

// Names the tokenizer: two vocabularies of one type have caches of their own.
std::string Corpus::cache_key(const RunConfig& config) const {
  const bool by_file = config.tokenizer.type > config::TokenizerType::Chars;
  return by_file ? type_name(config) + "-" + hex(tokenizer_->fingerprint()) : type_name(config);
}

const data::TokenSource* Corpus::keep(const RunConfig& config, const fs::path& dir) {
  auto set = std::make_unique<data::TokenSet>(dir);
  if (config.data.verify == config::Verify::Full) set->verify();
  const data::Tokenizer& own = set->tokenizer();
  if (own.type() != type_name(config)) {
    fail(Exit::Data,
         "{} was tokenized with {}, the config says {}. Re-run data prepare or fix tokenizer.type.",
         dir.string(), own.type(), type_name(config));
  }
  if (!tokenizer_) tokenizer_ = data::tokenizer_from_json(own.to_json(), dir.string());
  if (own.fingerprint() != tokenizer_->fingerprint()) {
    fail(Exit::Data,
         "{} was tokenized with another {} vocabulary ({}) than the run's ({}). Re-run data prepare.",
         dir.string(), own.type(), hex(own.fingerprint()), hex(tokenizer_->fingerprint()));
  }
  for (const data::TokenFile& shard : set->shards()) mapped_ += shard.file_bytes();
  const data::TokenSet& opened = *set;
  owned_.push_back(std::move(set));
  if (config.data.loss_mask == config::LossMask::None || !data::LossMask::present(opened.name()))
    return &opened;
  auto masked = std::make_unique<data::MaskedTokens>(opened);
  if (config.data.verify == config::Verify::Full) masked->mask().verify();
  owned_.push_back(std::move(masked));
  return owned_.back().get();
}

const data::TokenSource* Corpus::stories(const RunConfig& config, const config::Stories& spec, bool make) {
  const fs::path dir = cache_ / format("stories-{}-{}-{}", cache_key(config), spec.seed, spec.tokens);
  if (!fs::exists(dir / "index.json")) {
    if (!make) return nullptr;
    fs::create_directories(cache_);
    data::StoriesOptions options;
    options.seed = static_cast<std::uint64_t>(spec.seed);
    options.tokens = static_cast<std::uint64_t>(spec.tokens);
    const auto own = tokenizer_ ? nullptr : data::story_tokenizer(type_name(config));
    const data::StoriesReport report = data::write_stories(dir, own ? *own : *tokenizer_, options);
    log::info("data", "wrote {} stories, tokens={}, dir={}", report.stories, report.tokens, dir.string());
  }
  made_.push_back(dir);
  return keep(config, dir);
}

const data::TokenSource* Corpus::open(const RunConfig& config, const fs::path& path, bool make) {
  if (auto foreign = data::open_foreign(path, tokenizer_.get())) {
    if (config.data.verify == config::Verify::Full) foreign->verify();
    mapped_ += foreign->bytes();
    owned_.push_back(std::move(foreign));
    return owned_.back().get();
  }
  if (!fs::exists(path)) fail(Exit::Data, "{}: no such file or directory.", path.string());
  if (fs::exists(path / "index.json")) return keep(config, path);
  const fs::path dir =
      cache_ / format("{}-{}-{}", path.stem().string(), cache_key(config), content_key(path));
  if (!fs::exists(dir / "index.json")) {
    if (!make) return nullptr;
    fs::create_directories(cache_);
    const data::PrepareOptions options;
    const data::PrepareReport report = tokenizer_ ? data::prepare({path}, dir, *tokenizer_, options)
                                                  : data::prepare({path}, dir, type_name(config), options);
    log::info("data", "prepared {}, documents={}, tokens={}, bad_lines={}, dir={}", path.string(),
              report.documents, report.tokens, report.bad_lines, dir.string());
  }
  made_.push_back(dir);
  return keep(config, dir);
}

void Corpus::open_valid(const RunConfig& config, bool make) {
  for (const config::ValidSource& v : config.data.valid) {
    const data::TokenSource* source = nullptr;
    if (v.path) source = open(config, *v.path, make);
    if (v.stories) source = stories(config, *v.stories, make);
    if (v.split) {
      const data::TokenSource& single = *train_.front().tokens;
      const std::uint64_t cut = data::split_point(single, *v.split);
      owned_.push_back(std::make_unique<data::TokenRange>(single, cut, single.size()));
      source = owned_.back().get();
      owned_.push_back(std::make_unique<data::TokenRange>(single, 0, cut));
      train_.front().tokens = owned_.back().get();
    }
    if (!source) continue;
    const std::int64_t cap = v.tokens.value_or(config.eval.tokens.value_or(0));
    if (v.tokens && static_cast<std::uint64_t>(*v.tokens) > source->size()) {
      fail(Exit::Data, "valid {} needs {} tokens, {} has {}.", v.name, *v.tokens, source->name(),
           source->size());
    }
    valid_.push_back({v.name, source, static_cast<std::uint64_t>(cap)});
  }
}

Corpus::Corpus(const RunConfig& config, const fs::path& cache, bool make) : cache_(cache) {
  if (config.tokenizer.file) {
    tokenizer_ = data::open_tokenizer(*config.tokenizer.file);
    if (tokenizer_->type() != type_name(config)) {
      fail(Exit::Config, "tokenizer.file: {} is a {} tokenizer, tokenizer.type says {}.",
           *config.tokenizer.file, tokenizer_->type(), type_name(config));
    }
  } else if (config.tokenizer.type == config::TokenizerType::Bytes) {
    tokenizer_ = data::make_byte_tokenizer();
  }
  std::vector<data::LoaderSource> sources;
  for (const config::TrainSource& t : config.data.train) {
    const data::TokenSource* source =
        t.path ? open(config, *t.path, make) : stories(config, *t.stories, make);
    if (!source) return;
    if (config.data.loss_mask == config::LossMask::FromDataset && source->mask_fingerprint() == 0) {
      fail(Exit::Data,
           "{}: has no loss mask, which data.loss_mask: from_dataset asks for. Prepare it with "
           "rwkv data prepare --template, or set none.",
           source->name());
    }
    sources.push_back({source, t.weight, t.epochs_max.value_or(0)});
  }
  train_ = std::move(sources);
  open_valid(config, make);
}

}  // namespace rt
