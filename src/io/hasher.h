#pragma once
#include <memory>

#include "rt/io/file.h"

namespace rt::io {

// XXH3 of the whole and of each kDigestBlockBytes, over any split of the input.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  void update(const std::byte* data, std::size_t bytes);
  FileDigest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rt::io
