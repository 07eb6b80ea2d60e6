#include "data/pair_merger.h"

namespace rt::data {

void PairMerger::add_word(std::vector<std::int32_t> ids, std::uint64_t count) {
  const auto word = static_cast<std::uint32_t>(words_.size());
  words_.push_back({std::move(ids), static_cast<std::int64_t>(count)});
  const std::vector<std::int32_t>& kept = words_.back().ids;
  for (std::size_t i = 0; i + 1 < kept.size(); ++i) change({kept[i], kept[i + 1]}, words_.back().count, word);
}

void PairMerger::change(Pair pair, std::int64_t by, std::uint32_t word) {
  Seen& seen = pairs_[key(pair)];
  seen.count += by;
  if (by < 0) return;
  if (seen.words.empty() || seen.words.back() != word) seen.words.push_back(word);
  grown_.push_back(pair);
}

bool PairMerger::best(std::uint64_t min_count, Pair& pair) {
  for (const Pair& p : grown_) queue_.push({pairs_[key(p)].count, p});
  grown_.clear();
  while (!queue_.empty()) {
    const Candidate top = queue_.top();
    queue_.pop();
    const auto found = pairs_.find(key(top.pair));
    if (found == pairs_.end()) continue;  // merged already
    const std::int64_t count = found->second.count;
    if (count != top.count) {  // it has lost some since
      if (count > 0) queue_.push({count, top.pair});
      continue;
    }
    if (count < static_cast<std::int64_t>(min_count)) return false;
    pair = top.pair;
    return true;
  }
  return false;
}

void PairMerger::merge(Pair pair, std::int32_t result) {
  const auto found = pairs_.find(key(pair));
  const std::vector<std::uint32_t> places = std::move(found->second.words);
  for (const std::uint32_t w : places) {
    std::vector<std::int32_t>& ids = words_[w].ids;
    const std::int64_t count = words_[w].count;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const bool match = ids[i] == pair.first && i + 1 < ids.size() && ids[i + 1] == pair.second;
      if (!match) {
        ids[kept++] = ids[i];
        continue;
      }
      if (kept > 0) {
        change({ids[kept - 1], pair.first}, -count, w);
        change({ids[kept - 1], result}, count, w);
      }
      if (i + 2 < ids.size()) {
        change({pair.second, ids[i + 2]}, -count, w);
        change({result, ids[i + 2]}, count, w);
      }
      ids[kept++] = result;
      ++i;
    }
    ids.resize(kept);
  }
  pairs_.erase(key(pair));
}

}  // namespace rt::data
