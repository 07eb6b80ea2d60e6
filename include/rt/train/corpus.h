#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rt/config/run_config.h"
#include "rt/data/loader.h"
#include "rt/data/token_set.h"

namespace rt {

// The data of a run: what the config names, made where it has to be made (generated stories, raw text) under
// `cache`, opened and checked. Owns everything its sources point to.
class Corpus {
 public:
  struct Valid {
    std::string name;
    const data::TokenSource* source = nullptr;
    std::uint64_t max_predictions = 0;  // 0: all
  };

  // With make == false nothing is written: sources that would have to be made are left out (`rwkv check`).
  Corpus(const RunConfig& config, const std::filesystem::path& cache, bool make = true);

  bool complete() const { return !train_.empty(); }
  const std::vector<data::LoaderSource>& train() const { return train_; }  // as data.train lists them
  const std::vector<Valid>& valid() const { return valid_; }
  const data::Tokenizer& tokenizer() const { return *tokenizer_; }
  bool has_tokenizer() const { return tokenizer_ != nullptr; }
  std::size_t mapped_bytes() const { return mapped_; }  // size of the opened token files
  const std::vector<std::filesystem::path>& made() const {
    return made_;
  }  // directories written or reused in the cache

 private:
  const data::TokenSource* open(const RunConfig& config, const std::filesystem::path& path, bool make);
  const data::TokenSource* stories(const RunConfig& config, const config::Stories& spec, bool make);
  std::string cache_key(const RunConfig& config) const;
  const data::TokenSource* keep(const RunConfig& config, const std::filesystem::path& dir);
  void open_valid(const RunConfig& config, bool make);

  std::filesystem::path cache_;
  std::vector<std::unique_ptr<data::TokenSource>> owned_;
  std::unique_ptr<data::Tokenizer> tokenizer_;
  std::vector<data::LoaderSource> train_;
  std::vector<Valid> valid_;
  std::vector<std::filesystem::path> made_;
  std::size_t mapped_ = 0;
};

}  // namespace rt
