#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rt/io/archive.h"

namespace rt::io::pickle {

enum class Kind : std::uint8_t { None, Bool, Int, Float, Text, Tuple, List, Dict, Global, Storage, Tensor };

// The only names a pickle may mention. None is imported: each is an interpretation built into the reader.
enum class Global : std::uint8_t {
  OrderedDict,
  RebuildTensor,
  RebuildParameter,
  TypedStorage,
  UntypedStorage,
  DType
};

using Ref = std::uint32_t;  // index into Document::values

struct Value {
  Value() = default;
  explicit Value(Kind k) : kind(k) {}

  Kind kind = Kind::None;
  Global global = Global::OrderedDict;  // Global
  FileDType dtype = FileDType::F32;     // Global TypedStorage or DType, Storage
  std::int64_t integer = 0;             // Bool, Int; Storage: number of elements
  double real = 0;                      // Float
  std::string text;                     // Text; Storage: key
  std::vector<Ref>
      items;  // Tuple, List; Dict: key, value, key, value; Tensor: storage, offset, sizes, strides
};

struct Document {
  std::vector<Value> values;
  Ref root = 0;
  const Value& at(Ref r) const { return values[r]; }
};

// Runs the opcodes that torch.save uses for state dicts; anything else is an error with the opcode and its
// offset. Bounded: 64 MB of pickle, a million values, stack and memo slots. Containers may refer to
// themselves, so walk the result with a depth limit.
Document load(std::span<const std::byte> bytes, const std::filesystem::path& path);

}  // namespace rt::io::pickle
