#pragma once
#include <memory>
#include <span>

#include "rt/io/file.h"

namespace rt::io {

// What a FileDigest says, over any split of the input.
class Hasher {
 public:
  explicit Hasher(std::span<const std::uint64_t> ends = {});  // of the blocks, as in a FileDigest
  ~Hasher();
  void update(const std::byte* data, std::size_t bytes);
  FileDigest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rt::io
