#pragma once
#include <cstdint>
#include <memory>

#include "rt/data/loader.h"

namespace rt::data {

// Where one row of a batch is written: T cells each.
struct RowCells {
  std::int32_t* tokens;
  std::int32_t* targets;
  std::uint8_t* reset;  // null when resets were not asked for
};

// The rows of T predictions that a source is cut into. Safe to use from many threads.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual std::uint64_t count() const = 0;        // per epoch
  virtual std::uint64_t predictions() const = 0;  // of all rows together; loss masks are not looked at
  // Writes every cell, returns how many targets are not ignored.
  virtual std::uint64_t fill(std::uint64_t row, const RowCells& cells) const = 0;
};

struct RowOptions {
  std::int64_t seq_len = 0;
  Packing packing = Packing::Concat;
};

// Exit::Data when the source has no row to give.
std::unique_ptr<Rows> make_rows(const TokenSource& source, const RowOptions& options);
std::unique_ptr<Rows> make_packed_rows(const TokenSource& source, const RowOptions& options);

// Tokens [begin, begin + n) and their n successors, to cells of which `reset` is not written. Returns how
// many targets are not ignored. `masked`: the source has a loss mask.
std::uint64_t fill_piece(const TokenSource& source, std::uint64_t begin, std::size_t n, bool masked,
                         const RowCells& cells);
inline bool is_masked(const TokenSource& source) { return source.mask_fingerprint() != 0; }

}  // namespace rt::data
