#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rt/config/change.h"
#include "rt/core/error.h"

// A YAML document as a plain tree that remembers where everything was written.
namespace rt::config {

struct Origin {
  std::string file;  // or "--set a.b", which has no lines
  int line = 0;      // 1-based; 0: the whole file
  int column = 0;
  std::string where() const;
};

struct Node {
  enum class Kind : std::uint8_t { Null, Scalar, List, Map };
  Kind kind = Kind::Null;
  bool quoted = false;                         // a scalar that YAML must not reinterpret
  std::string key;                             // of an entry of a map
  std::string text;                            // of a scalar
  std::vector<Node> items;                     // of a list or, in file order and with unique keys, of a map
  Origin origin;                               // an entry of a map: its key; else the value
  ChangeClass change = ChangeClass::Harmless;  // filled in trees written from a config

  static Node scalar(std::string text, bool quoted = false);
  static Node map(Origin origin = {});
  const Node* find(std::string_view key) const;  // null unless this is a map that has it
  Node* find(std::string_view key);
};

// "a.b"; an empty parent gives "b".
std::string join(std::string_view parent, std::string_view key);

// Throws Exit::Config "where: path: message" as one line whatever the parts hold.
[[noreturn]] void fail_line(const Origin& origin, std::string_view path, std::string_view message);

template <class... Args>
[[noreturn]] void fail_at(const Origin& origin, std::string_view path, std::string_view pattern,
                          const Args&... args) {
  fail_line(origin, path, rt::format(pattern, args...));
}

// One document; Null for an empty one. Aliases are expanded. Throws Exit::Config for what is not YAML, for
// duplicate keys, keys that are no plain words, tags and further documents. `located` is false for text that
// is no file, whose lines would mean nothing; `path` is where the value will stand.
Node parse_yaml(std::string_view text, const std::string& file, bool located = true,
                std::string_view path = "");

// Block style for maps, flow style for what fits a line; parse_yaml reads it back.
std::string emit_yaml(const Node& root);
std::string emit_flow(const Node& node);  // one line

}  // namespace rt::config
