#include <algorithm>
#include <set>

#include "config/checks.h"
#include "config/schema.h"

namespace rt::config {
namespace {

class DataValidator : private Checks {
 public:
  DataValidator(const RunConfig& config, const Places& places) : Checks(places), c_(config) {}
  void run() {
    data();
    lengths();
    rows();
    batch();
  }

 private:
  void one_of(int given, const std::string& path, std::string_view choices) const {
    require(given == 1, path, "has {} of {}. Give exactly one", given, choices);
  }
  void stories(const std::optional<Stories>& value, const std::string& path) const {
    if (value) at_least(value->tokens, 1, path + ".stories.tokens");
  }

  void data() {
    const DataSection& d = c_.data;
    require(!d.train.empty(), "data.train", "is empty. Give at least one source, e.g. - {path: data/train}");
    for (std::size_t i = 0; i < d.train.size(); ++i) {
      const std::string path = rt::format("data.train.{}", i);
      const TrainSource& source = d.train[i];
      one_of(source.path.has_value() + source.stories.has_value(), path, "path and stories");
      require(source.path != "", path + ".path", "is empty. Give a file or directory");
      positive(source.weight, path + ".weight");
      if (source.epochs_max) positive(*source.epochs_max, path + ".epochs_max");
      stories(source.stories, path);
    }
    std::set<std::string> seen;
    for (std::size_t i = 0; i < d.valid.size(); ++i) {
      const std::string path = rt::format("data.valid.{}", i);
      const ValidSource& source = d.valid[i];
      require(!source.name.empty(), path + ".name", "is empty. Give a word; metrics are logged under it");
      require(seen.insert(source.name).second, path + ".name", "\"{}\" is taken. Give each set its own",
              source.name);
      one_of(source.path.has_value() + source.split.has_value() + source.stories.has_value(), path,
             "path, split and stories");
      require(source.path != "", path + ".path", "is empty. Give a file or directory");
      stories(source.stories, path);
      at_least(source.tokens, 1, path + ".tokens");
      if (source.split) split(*source.split, path + ".split");
    }
  }

  void lengths() const {
    const std::vector<SeqLenPart>& parts = c_.data.seq_len.parts;
    require(!parts.empty(), "data.seq_len",
            "is empty. Give a count, or parts such as {until: 10M, value: 512}, {value: 4096}");
    if (parts.size() == 1 && !parts[0].until) return at_least(parts[0].value, 1, "data.seq_len");
    at_least(c_.batch.global_tokens, 1, "batch.global_tokens");
    std::int64_t before = 0;  // steps
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::string path = rt::format("data.seq_len.{}", i);
      const bool last = i + 1 == parts.size();
      at_least(parts[i].value, 1, path + ".value");
      require(parts.back().value % parts[i].value == 0, path + ".value",
              "{} does not divide the last length, {}. Use a divisor of it: every step has the same tokens",
              parts[i].value, parts.back().value);
      require(!last || !parts[i].until, path + ".until",
              "ends the last length. Remove it: that one has no end");
      require(last || parts[i].until, path,
              "has no until, and is not the last. Say how many tokens it is for");
      if (last) return;
      const std::int64_t steps = (*parts[i].until + c_.batch.global_tokens - 1) / c_.batch.global_tokens;
      require(steps > before, path + ".until", "{} is not a step of {} tokens past the one before. Raise it",
              *parts[i].until, c_.batch.global_tokens);
      before = steps;
    }
  }

  // What excludes what among packing, order and state.
  void rows() const {
    const DataSection& d = c_.data;
    const bool concat = d.packing == Packing::Concat, carry = d.document_state == DocumentState::Carry;
    const bool magic = d.order == Order::RwkvMagicPrime;
    const std::string packing(Scalar<Packing>::format(d.packing));
    require(
        d.packing != Packing::Pack || !carry, "data.packing",
        "pack puts unrelated documents side by side, and document_state: carry would let one see the other. "
        "Use reset, or packing: concat");
    require(concat || !magic, "data.packing", "{} has no windows for order: rwkv_magic_prime. Use concat",
            packing);
    require(magic || !d.magic_prime, "data.magic_prime", "is only for order: rwkv_magic_prime. Remove it");
    require(!d.magic_prime || d.train.size() == 1, "data.magic_prime",
            "is for one training source, but data.train has {}. Use auto", d.train.size());
    require(!d.magic_prime || d.seq_len.parts.size() == 1, "data.magic_prime",
            "is for one seq_len, but data.seq_len has {}. Use auto", d.seq_len.parts.size());
    at_least(d.magic_prime, 2, "data.magic_prime");
    if (!carry || d.order != Order::Sequential) return;
    const std::string_view streams =
        "sequential with document_state: carry lets every sequence of a step read "
        "its own part of the data, which must be {}. Use reset, or order: shuffle";
    require(d.train.size() == 1, "data.order", streams, "one source");
    require(d.seq_len.parts.size() == 1, "data.order", streams, "cut into one seq_len");
    require(concat, "data.order", streams, "packed as concat");
  }

  void split(double fraction, const std::string& path) const {
    require(fraction > 0 && fraction < 1, path, "{} is not between 0 and 1. Use e.g. 0.1",
            format_real(fraction));
    require(c_.data.train.size() == 1, path,
            "cuts the one training source, but data.train has {}. Use path instead", c_.data.train.size());
    const auto is_split = [](const ValidSource& s) { return s.split.has_value(); };
    const auto splits = std::count_if(c_.data.valid.begin(), c_.data.valid.end(), is_split);
    require(splits == 1, path, "is given {} times, the training source has one tail. Keep one", splits);
  }

  void batch() {
    const std::int64_t tokens = c_.batch.global_tokens, length = c_.data.seq_len;
    at_least(tokens, 1, "batch.global_tokens");
    if (tokens % length != 0) {
      const std::int64_t k = tokens / length;
      const std::string below = k > 0 ? rt::format("{} (k={}), ", k * length, k) : "";
      require(false, "batch.global_tokens", "{} is not seq_len({}) x k. Nearest: {}{} (k={})", tokens, length,
              below, (k + 1) * length, k + 1);
    }
    if (!c_.batch.micro_sequences) return;
    const std::int64_t micro = *c_.batch.micro_sequences, sequences = tokens / length;
    at_least(micro, 1, "batch.micro_sequences");
    std::int64_t below = std::min(micro, sequences), above = micro;
    while (sequences % below != 0) --below;
    while (above < sequences && sequences % above != 0) ++above;
    require(sequences % micro == 0, "batch.micro_sequences",
            "{} does not divide the {} sequences of a step. Nearest: {}", micro, sequences,
            above > sequences ? std::to_string(below) : rt::format("{}, {}", below, above));
  }

  const RunConfig& c_;
};

}  // namespace

void validate_data(const RunConfig& config, const Places& places) { DataValidator(config, places).run(); }

}  // namespace rt::config
