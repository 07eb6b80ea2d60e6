#include "io/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "io/pickle_machine.h"
#include "io/text.h"
#include "rt/core/error.h"

// Opcodes: CPython Lib/pickletools.py.
namespace rt::io::pickle {
namespace {

constexpr std::size_t kMaxPickleBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxValues = 1'000'000;

struct OpName {
  std::uint8_t code;
  std::string_view name;
};
// Opcodes that are refused, for the message.
constexpr OpName kRefused[] = {
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'L', "LONG"},
    {'P', "PERSID"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'d', "DICT"},
    {'g', "GET"},
    {'i', "INST"},
    {'l', "LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x8b, "LONG4"},
    {0x8d, "BINUNICODE8"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"},
    {0x95, "FRAME"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
};

std::string describe(std::uint8_t op) {
  std::string_view known = "unknown opcode";
  for (const auto& o : kRefused) {
    if (o.code == op) known = o.name;
  }
  return std::string(known) + " (0x" + hex64(op).substr(14) + ")";
}

}  // namespace

void Machine::bad(std::string_view why) const {
  fail(Exit::Checkpoint, "{}: pickle opcode 0x{} at offset {}: {}", path_.string(), hex64(op_).substr(14),
       op_at_, why);
}

std::string_view Machine::take(std::uint64_t size) {
  if (size > bytes_.size() - at_) bad("the pickle ends in the middle of it");
  const std::string_view out(reinterpret_cast<const char*>(bytes_.data()) + at_,
                             static_cast<std::size_t>(size));
  at_ += static_cast<std::size_t>(size);
  return out;
}

std::string_view Machine::take_line() {
  constexpr std::size_t kMaxLine = 256;
  const auto rest = bytes_.subspan(at_, std::min(kMaxLine, bytes_.size() - at_));
  const auto newline = std::find(rest.begin(), rest.end(), std::byte{'\n'});
  if (newline == rest.end()) bad("a name without an end");
  const auto line = take(static_cast<std::uint64_t>(newline - rest.begin()));
  take(1);
  return line;
}

template <class T>
T Machine::take_number() {
  T value;
  std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
  return value;
}

Ref Machine::make(Value value) {
  if (values_.size() >= kMaxValues) bad("more than a million values");
  values_.push_back(std::move(value));
  return static_cast<Ref>(values_.size() - 1);
}

void Machine::push(Ref ref) {
  if (stack_.size() >= kMaxValues) bad("the stack exceeds a million values");
  stack_.push_back(ref);
}

void Machine::push_int(std::int64_t value) {
  Value v(Kind::Int);
  v.integer = value;
  push(std::move(v));
}

Ref Machine::top() const {
  if (stack_.empty() || (!marks_.empty() && stack_.size() == marks_.back()))
    bad("needs a value that is not there");
  return stack_.back();
}

Ref Machine::pop() {
  const Ref ref = top();
  stack_.pop_back();
  return ref;
}

std::vector<Ref> Machine::pop_to_mark() {
  if (marks_.empty()) bad("needs a MARK that is not there");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Ref> out(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return out;
}

void Machine::store(std::uint64_t slot, Ref ref) {
  if (slot >= kMaxValues) bad("more than a million memo slots");
  if (slot >= memo_.size()) memo_.resize(static_cast<std::size_t>(slot) + 1, kEmpty);
  memo_[static_cast<std::size_t>(slot)] = ref;
}

Ref Machine::fetch(std::uint64_t slot) const {
  if (slot >= memo_.size() || memo_[static_cast<std::size_t>(slot)] == kEmpty)
    bad("reads an empty memo slot");
  return memo_[static_cast<std::size_t>(slot)];
}

bool Machine::literal(std::uint8_t op) {
  Value v;
  switch (op) {
    case 'N': break;  // NONE
    case 0x88:        // NEWTRUE
    case 0x89:
      v.kind = Kind::Bool;
      v.integer = op == 0x88;
      break;                                                        // NEWFALSE
    case 'J': push_int(take_number<std::int32_t>()); return true;   // BININT
    case 'K': push_int(take_number<std::uint8_t>()); return true;   // BININT1
    case 'M': push_int(take_number<std::uint16_t>()); return true;  // BININT2
    case 0x8a: {                                                    // LONG1
      const auto digits = take(take_number<std::uint8_t>());
      if (digits.size() > 8) bad("an integer of more than 64 bits");
      std::int64_t value = 0;
      std::memcpy(&value, digits.data(), digits.size());
      const auto unused = static_cast<int>(64 - 8 * digits.size());
      if (unused < 64)
        value = static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << unused) >> unused;
      push_int(value);
      return true;
    }
    case 'G': {  // BINFLOAT, big-endian
      v.kind = Kind::Float;
      v.real = std::bit_cast<double>(__builtin_bswap64(take_number<std::uint64_t>()));
      break;
    }
    case 'X':
      v.kind = Kind::Text;
      v.text = take(take_number<std::uint32_t>());
      break;  // BINUNICODE
    case 0x8c:
      v.kind = Kind::Text;
      v.text = take(take_number<std::uint8_t>());
      break;  // SHORT_BINUNICODE
    default: return false;
  }
  push(std::move(v));
  return true;
}

void Machine::push_tuple(std::size_t count) {
  Value v(Kind::Tuple);
  v.items.resize(count);
  for (std::size_t i = count; i-- > 0;) v.items[i] = pop();
  push(std::move(v));
}

void Machine::set_items(Ref dict, const std::vector<Ref>& pairs) {
  auto& d = values_[dict];
  if (d.kind != Kind::Dict) bad("sets an item of something that is not a dict");
  if (pairs.size() % 2 != 0) bad("a key without a value");
  d.items.insert(d.items.end(), pairs.begin(), pairs.end());
}

bool Machine::container(std::uint8_t op) {
  switch (op) {
    case '}': push(Value(Kind::Dict)); return true;  // EMPTY_DICT
    case ']': push(Value(Kind::List)); return true;  // EMPTY_LIST
    case ')': push_tuple(0); return true;            // EMPTY_TUPLE
    case 0x85: push_tuple(1); return true;           // TUPLE1
    case 0x86: push_tuple(2); return true;           // TUPLE2
    case 0x87: push_tuple(3); return true;           // TUPLE3
    case '(':                                        // MARK
      if (marks_.size() >= kMaxValues) bad("a million marks");
      marks_.push_back(stack_.size());
      return true;
    case 't': {  // TUPLE
      Value v(Kind::Tuple);
      v.items = pop_to_mark();
      push(std::move(v));
      return true;
    }
    case 's': {  // SETITEM
      const Ref value = pop(), key = pop();
      set_items(top(), {key, value});
      return true;
    }
    case 'u': {  // SETITEMS
      const auto pairs = pop_to_mark();
      set_items(top(), pairs);
      return true;
    }
    case 'a':    // APPEND
    case 'e': {  // APPENDS
      const auto items = op == 'a' ? std::vector<Ref>{pop()} : pop_to_mark();
      auto& list = values_[top()];
      if (list.kind != Kind::List) bad("appends to something that is not a list");
      list.items.insert(list.items.end(), items.begin(), items.end());
      return true;
    }
    default: return false;
  }
}

bool Machine::memo(std::uint8_t op) {
  switch (op) {
    case 'q': store(take_number<std::uint8_t>(), top()); return true;   // BINPUT
    case 'r': store(take_number<std::uint32_t>(), top()); return true;  // LONG_BINPUT
    case 0x94: store(memo_.size(), top()); return true;                 // MEMOIZE
    case 'h': push(fetch(take_number<std::uint8_t>())); return true;    // BINGET
    case 'j': push(fetch(take_number<std::uint32_t>())); return true;   // LONG_BINGET
    default: return false;
  }
}

Document Machine::run() {
  if (bytes_.size() > kMaxPickleBytes) bad("the pickle is larger than 64 MB");
  for (;;) {
    op_at_ = at_;
    op_ = 0;
    op_ = take_number<std::uint8_t>();
    if (op_ == 0x80) {  // PROTO
      if (const auto version = take_number<std::uint8_t>(); version < 2 || version > 5)
        bad("unknown pickle protocol");
    } else if (op_ == '.') {  // STOP
      break;
    } else if (!literal(op_) && !container(op_) && !memo(op_) && !object(op_)) {
      fail(Exit::Checkpoint,
           "{}: pickle opcode {} at offset {} is not allowed: not a plain dict of tensors. Save with "
           "torch.save(model.state_dict(), path).",
           path_.string(), describe(op_), op_at_);
    }
  }
  if (stack_.size() != 1 || !marks_.empty() || at_ != bytes_.size()) bad("the pickle ends with leftovers");
  return {std::move(values_), stack_.front()};
}

Document load(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  return Machine(bytes, path).run();
}

}  // namespace rt::io::pickle
