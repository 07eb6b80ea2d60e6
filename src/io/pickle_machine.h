#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "io/pickle.h"

namespace rt::io::pickle {

// The stack machine of pickle.cpp.
class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::filesystem::path& path) : bytes_(bytes), path_(path) {}
  Document run();

 private:
  static constexpr Ref kEmpty = ~Ref{0};

  [[noreturn]] void bad(std::string_view why) const;
  std::string_view take(std::uint64_t size);
  std::string_view take_line();
  template <class T>
  T take_number();

  Ref make(Value value);
  void push(Ref ref);
  void push(Value value) { push(make(std::move(value))); }
  void push_int(std::int64_t value);
  Ref pop();
  std::vector<Ref> pop_to_mark();
  Ref top() const;
  void store(std::uint64_t slot, Ref ref);
  Ref fetch(std::uint64_t slot) const;

  bool literal(std::uint8_t op);  // each returns whether it knew the opcode
  bool container(std::uint8_t op);
  bool memo(std::uint8_t op);
  bool object(std::uint8_t op);

  void push_tuple(std::size_t count);
  void set_items(Ref dict, const std::vector<Ref>& pairs);
  void global();
  void persistent_id();
  void reduce();
  void rebuild_tensor(const Value& arguments);

  std::span<const std::byte> bytes_;
  const std::filesystem::path& path_;
  std::size_t at_ = 0;
  std::size_t op_at_ = 0;
  std::uint8_t op_ = 0;
  std::vector<Value> values_;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;  // stack heights
  std::vector<Ref> memo_;
};

}  // namespace rt::io::pickle
