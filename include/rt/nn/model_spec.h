#pragma once
#include <cstdint>
#include <string>

namespace rt {

// Everything that fixes a model's shapes. Zero in a field marked auto means "the architecture's own rule";
// resolve() fills those in.
struct ModelSpec {
  std::string arch = "rwkv7";
  std::int64_t layers = 12;
  std::int64_t width = 768;     // C
  std::int64_t head_size = 64;  // N
  std::int64_t vocab = 0;       // V
  std::int64_t ffn_width = 0;   // auto: 4 C
  std::int64_t decay_rank = 0, rate_rank = 0, value_rank = 0,
               gate_rank = 0;  // auto: reference rwkv.md 1.7, new rule

  std::int64_t heads() const { return width / head_size; }
  ModelSpec resolve() const;  // throws Exit::Config on an impossible shape
  friend bool operator==(const ModelSpec&, const ModelSpec&) = default;
};

}  // namespace rt
