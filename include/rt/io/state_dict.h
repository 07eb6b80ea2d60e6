#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "rt/core/tensor.h"

namespace rt::io {

class CheckpointWriter;
class TensorArchive;

// Named tensors and small values in the order they were set: what an optimizer or a trainer saves and loads.
// Values come back exactly, every u64 and every bit of a double (NaN included). Views are not owned when set;
// after load() they point into the mapped file and live as long as the StateDict.
class StateDict {
 public:
  using Value = std::variant<bool, std::int64_t, std::uint64_t, double, std::string, TensorView>;

  StateDict();
  StateDict(StateDict&&) noexcept;
  StateDict& operator=(StateDict&&) noexcept;
  ~StateDict();

  // A name may be set once; a name set twice is the caller's mistake.
  void set_bool(std::string name, bool value) { set(std::move(name), value); }
  void set_i64(std::string name, std::int64_t value) { set(std::move(name), value); }
  void set_u64(std::string name, std::uint64_t value) { set(std::move(name), value); }
  void set_f64(std::string name, double value) { set(std::move(name), value); }
  void set_string(std::string name, std::string value) { set(std::move(name), std::move(value)); }
  void set_tensor(std::string name, const TensorView& value) { set(std::move(name), value); }

  // A missing name or another type is Exit::Checkpoint, with the file.
  bool get_bool(std::string_view name) const;
  std::int64_t get_i64(std::string_view name) const;
  std::uint64_t get_u64(std::string_view name) const;
  double get_f64(std::string_view name) const;
  const std::string& get_string(std::string_view name) const;
  const TensorView& get_tensor(std::string_view name) const;
  void copy_tensor(std::string_view name, const TensorView& into) const;  // same dtype and shape, on the CPU

  bool contains(std::string_view name) const;
  const std::vector<std::pair<std::string, Value>>& entries() const { return entries_; }

  // `stem`.json lists every entry; tensors are in `stem`.safetensors.
  void save(CheckpointWriter& writer, const std::string& stem) const;
  static StateDict load(const std::filesystem::path& dir, const std::string& stem);

 private:
  void set(std::string name, Value value);
  template <class T>
  const T& get(std::string_view name, const char* type) const;

  std::vector<std::pair<std::string, Value>> entries_;
  std::unordered_map<std::string, std::size_t> index_;
  std::string source_ = "state";  // named in errors
  std::unique_ptr<TensorArchive> archive_;
};

}  // namespace rt::io
