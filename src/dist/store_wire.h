#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

// What goes over a store's connections. The server greets, then every request has one answer:
//   request   u32 bytes behind it, u8 Op, u64 number, u32 bytes of the key, key, value
//   answer    u32 bytes behind it, u8 Answer, value
// Numbers as they lie in memory: of machines of one kind.
namespace rt::dist::wire {

inline constexpr char kGreeting[9] =
    "rt-store";  // eight bytes of it: whoever else listens there says something else
inline constexpr std::uint32_t kMostBytes = std::uint32_t{64} << 20;

enum class Op : std::uint8_t { Set, SetIfAbsent, Get, Add, List, Will };
// The number of a Get: milliseconds to wait; of an Add: what.
enum class Answer : std::uint8_t { Yes, No };

template <class T>
void put(std::string& to, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  to.append(bytes, sizeof(T));
}

// Takes a T off the front. False: there are not so many bytes.
template <class T>
bool take(std::string_view& from, T& value) {
  if (from.size() < sizeof(T)) return false;
  std::memcpy(&value, from.data(), sizeof(T));
  from.remove_prefix(sizeof(T));
  return true;
}

inline void put_text(std::string& to, std::string_view text) {
  put(to, static_cast<std::uint32_t>(text.size()));
  to += text;
}
inline bool take_text(std::string_view& from, std::string& text) {
  std::uint32_t size = 0;
  if (!take(from, size) || size > from.size()) return false;
  text = from.substr(0, size);
  from.remove_prefix(size);
  return true;
}

inline std::string request(Op op, std::uint64_t number, std::string_view key, std::string_view value) {
  std::string out;
  put(out, static_cast<std::uint32_t>(1 + 8 + 4 + key.size() + value.size()));
  put(out, op);
  put(out, number);
  put(out, static_cast<std::uint32_t>(key.size()));
  out += key;
  out += value;
  return out;
}

inline std::string answer(Answer kind, std::string_view value) {
  std::string out;
  put(out, static_cast<std::uint32_t>(1 + value.size()));
  put(out, kind);
  out += value;
  return out;
}

}  // namespace rt::dist::wire
