#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "rt/core/graph.h"
#include "rt/core/host.h"

#define RT_NEEDS_GRAPHS() \
  if (cuda_device_count() == 0 || !cuda::graph_begin) GTEST_SKIP() << "no CUDA device with graphs"

namespace rt::testing {

using Bytes = std::vector<unsigned char>;

inline Bytes bytes_of(const TensorView& view) {
  const HostTensor host(view);
  const auto* begin = reinterpret_cast<const unsigned char*>(host.view().data);
  return {begin, begin + view.nbytes()};
}

inline bool all_are(const Bytes& bytes, unsigned char value) {
  return std::all_of(bytes.begin(), bytes.end(), [=](unsigned char b) { return b == value; });
}

}  // namespace rt::testing
