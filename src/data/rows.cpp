#include "data/rows.h"

#include <algorithm>

#include "rt/core/error.h"

namespace rt::data {
namespace {

// Sets targets that are not trained on to kIgnoreTarget; target i is token begin + i of the source.
std::uint64_t ignore_untrained(const TokenSource& source, std::uint64_t begin, std::size_t n,
                               std::int32_t* targets) {
  std::uint64_t kept = 0;
  std::uint8_t trained[1024];
  for (std::size_t at = 0; at < n; at += sizeof(trained)) {
    const std::size_t here = std::min(n - at, sizeof(trained));
    source.fill_trained(begin + at, here, trained);
    for (std::size_t i = 0; i < here; ++i) {
      targets[at + i] = trained[i] != 0 ? targets[at + i] : kIgnoreTarget;
      kept += trained[i] != 0;
    }
  }
  return kept;
}

// Row w is tokens [w T, w T + T] of the source, one more than T, for the last target.
class Windows final : public Rows {
 public:
  Windows(const TokenSource& source, const RowOptions& options)
      : source_(source),
        T_(static_cast<std::size_t>(options.seq_len)),
        masked_(is_masked(source)),
        count_(source.size() == 0 ? 0 : (source.size() - 1) / T_) {
    if (count_ > 0) return;
    fail(Exit::Data,
         "{}: {} tokens are fewer than one window of seq_len + 1 = {}; use more data or a smaller seq_len",
         source.name(), source.size(), T_ + 1);
  }
  std::uint64_t count() const override { return count_; }
  std::uint64_t predictions() const override { return count_ * T_; }
  std::uint64_t fill(std::uint64_t row, const RowCells& cells) const override {
    if (cells.reset != nullptr) source_.fill_resets(row * T_, T_, cells.reset);
    return fill_piece(source_, row * T_, T_, masked_, cells);
  }

 private:
  const TokenSource& source_;
  std::size_t T_;
  bool masked_;
  std::uint64_t count_;
};

}  // namespace

std::uint64_t fill_piece(const TokenSource& source, std::uint64_t begin, std::size_t n, bool masked,
                         const RowCells& cells) {
  source.read(begin, n, cells.tokens);
  source.read(begin + 1, n, cells.targets);
  return masked ? ignore_untrained(source, begin + 1, n, cells.targets) : n;
}

std::unique_ptr<Rows> make_rows(const TokenSource& source, const RowOptions& options) {
  if (options.packing == Packing::Concat) return std::make_unique<Windows>(source, options);
  return make_packed_rows(source, options);
}

}  // namespace rt::data
