#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rt/config/quantity.h"
#include "rt/config/seq_len.h"

// What a run trains on: see run_config.h.
namespace rt::config {

struct Stories {            // the built-in generated corpus, a pure function of its seed
  std::int64_t tokens = 0;  // required
  std::int64_t seed = 1;
  friend bool operator==(const Stories&, const Stories&) = default;
};

struct TrainSource {  // exactly one of path and stories
  std::optional<std::string> path;
  std::optional<Stories> stories;
  double weight = 1.0;               // relative share of the mixture, in predicted tokens
  std::optional<double> epochs_max;  // read so often at most, then the others take its share; empty: no limit
  friend bool operator==(const TrainSource&, const TrainSource&) = default;
};

struct ValidSource {  // exactly one of path, split and stories
  std::string name;   // required, unique: metrics are logged as valid/{name}
  std::optional<std::string> path;
  std::optional<double> split;  // this fraction, cut from the tail of the one training source
  std::optional<Stories> stories;
  std::optional<std::int64_t> tokens;  // cap per evaluation; empty: eval.tokens
  friend bool operator==(const ValidSource&, const ValidSource&) = default;
};

enum class DocumentState : std::uint8_t { Reset, Carry };
enum class Order : std::uint8_t { Shuffle, Sequential, RwkvMagicPrime };
enum class Packing : std::uint8_t { Concat, Pack, Pad };
enum class LossMask : std::uint8_t { None, FromDataset };
enum class Verify : std::uint8_t { None, Header, Full };

struct DataSection {
  std::vector<TrainSource> train;  // at least one
  std::vector<ValidSource> valid;
  SeqLen seq_len;  // T, required
  // How documents become sequences: one after another; put together whole, cut only when longer than T; or
  // one a sequence, padded.
  Packing packing = Packing::Concat;
  // Carry: never reset inside a sequence; with Order::Sequential each sequence of a step reads on where it
  // ended in the step before, and from the state it had there.
  DocumentState document_state = DocumentState::Reset;
  Order order = Order::Shuffle;
  std::optional<std::int64_t> magic_prime;  // Order::RwkvMagicPrime with one source; auto: the largest
  LossMask loss_mask = LossMask::None;      // FromDataset: only what the data marks is predicted
  Verify verify = Verify::Header;
  friend bool operator==(const DataSection&, const DataSection&) = default;
};

}  // namespace rt::config
