#pragma once
#include <map>
#include <span>
#include <vector>

#include "config/node.h"
#include "config/scalar.h"

// One declaration per section, `void visit(Section&, T&)` in schema.h, is its reader, its writer, its list of
// allowed keys and, through diff, what changing each key means. Adding a key is one line there and one field.
namespace rt::config {

// What reading leaves for validation: where every key was written.
class Places {
 public:
  explicit Places(Origin root) { at_[""] = std::move(root); }
  void put(const std::string& path, const Origin& origin) { at_[path] = origin; }
  // Of the key, else of the nearest section around it.
  const Origin& find(std::string path) const;
  void missing(const std::string& path, std::string_view example) { missing_.emplace_back(path, example); }
  // Throws for the first required key that was not there. After reading, so that a mistyped key is reported
  // as such.
  void refuse_missing() const;

 private:
  std::map<std::string, Origin> at_;
  std::vector<std::pair<std::string, std::string>> missing_;
};

struct KeyOptions {
  std::optional<ChangeClass> change = {};  // empty: as the section
  std::string_view required = {};          // an example value makes the key required
  std::string_view absent = "null";        // how an empty optional is written
  bool terse = false;                      // an empty optional is not written at all
};

template <class T>
struct Codec;

class Section {
 public:
  // The same visit serves all three.
  static Section names() { return Section(nullptr, nullptr, "", ChangeClass::Harmless); }
  static Section reader(const Node& in, const std::string& path, Places& places) {
    return Section(&in, &places, path, ChangeClass::Harmless);
  }
  static Section writer(Node& out, ChangeClass change) {
    Section s(nullptr, nullptr, "", change);
    s.out_ = &out;
    return s;
  }

  template <class T>
  void key(std::string_view name, T& value, const KeyOptions& options = {});
  // A key that was acted upon before reading and has no field.
  void directive(std::string_view name) { names_.emplace_back(name); }
  const std::vector<std::string>& allowed() const { return names_; }

 private:
  Section(const Node* in, Places* places, std::string path, ChangeClass change)
      : in_(in), places_(places), path_(std::move(path)), change_(change) {}

  const Node* in_;
  Places* places_;
  std::string path_;
  ChangeClass change_;
  Node* out_ = nullptr;
  std::vector<std::string> names_;
};

template <class T>
concept IsSection = requires(Section& s, T& value) {
  visit(s, value);
};

// Support for messages, in section.cpp unless said.

// Throws unless every key of `map` is allowed: nearest key, or the section it belongs under.
void refuse_unknown(const Node& map, const std::string& path, const std::vector<std::string>& allowed);
// key -> the sections that have it, over the whole schema (schema.cpp).
std::map<std::string, std::vector<std::string>> homes_of_keys();
// What people write for a key of this schema: {"learning_rate", "optimizer.lr"}.
std::span<const std::pair<std::string_view, std::string_view>> known_synonyms();
[[noreturn]] void fail_type(const Node& node, const std::string& path, std::string_view what,
                            std::string_view use, std::string_view absent);
std::string_view kind_name(const Node& node);

// A codec reads a T from a node of the tree and writes it back: sections, scalars, then containers.

template <IsSection T>
struct Codec<T> {
  static std::vector<std::string> keys() {
    T value{};
    Section section = Section::names();
    visit(section, value);
    return section.allowed();
  }
  static void read(const Node& in, const std::string& path, Places& places, T& value, const KeyOptions&) {
    if (in.kind != Node::Kind::Map && in.kind != Node::Kind::Null) {
      fail_at(in.origin, path, "is {}, not a section. Write its keys indented below it", kind_name(in));
    }
    refuse_unknown(in, path, keys());
    Section section = Section::reader(in, path, places);
    visit(section, value);
  }
  static Node write(const T& value, ChangeClass change, const KeyOptions&) {
    Node out = Node::map();
    Section section = Section::writer(out, change);
    T copy = value;
    visit(section, copy);
    return out;
  }
};

template <class T>
requires(!IsSection<T>) struct Codec<T> {
  static void read(const Node& in, const std::string& path, Places&, T& value, const KeyOptions& options) {
    const bool text = in.kind == Node::Kind::Scalar;
    const auto parsed = text ? Scalar<T>::parse(in.text) : std::optional<T>();
    if (!parsed) fail_type(in, path, Scalar<T>::kWhat, Scalar<T>::use(), options.absent);
    value = *parsed;
  }
  static Node write(const T& value, ChangeClass, const KeyOptions&) {
    return Node::scalar(Scalar<T>::format(value));
  }
};

template <>
struct Codec<std::string> {
  static void read(const Node& in, const std::string& path, Places&, std::string& value,
                   const KeyOptions& options) {
    if (in.kind != Node::Kind::Scalar)
      fail_type(in, path, "text", "a word or \"quoted text\"", options.absent);
    if (!in.quoted && is_yaml_boolean(in.text)) {
      fail_at(in.origin, path, "value is boolean (YAML reads bare no/on/yes as true/false). Quote it: \"{}\"",
              in.text);
    }
    value = in.text;
  }
  static Node write(const std::string& value, ChangeClass, const KeyOptions&);
};

template <class T>
struct Codec<std::optional<T>> {
  static void read(const Node& in, const std::string& path, Places& places, std::optional<T>& value,
                   const KeyOptions& options) {
    value.reset();
    const bool absent = in.kind == Node::Kind::Scalar && !in.quoted && in.text == options.absent;
    if (in.kind == Node::Kind::Null || absent) return;
    Codec<T>::read(in, path, places, value.emplace(), options);
  }
  static Node write(const std::optional<T>& value, ChangeClass change, const KeyOptions& options) {
    return value ? Codec<T>::write(*value, change, options) : Node::scalar(std::string(options.absent));
  }
};

template <class List, class Resize>
void read_list(const Node& in, const std::string& path, Places& places, List& values, Resize resize) {
  if (in.kind != Node::Kind::List) {
    fail_at(in.origin, path, "is {}, not a list. Write it as [...] or as lines starting with \"- \"",
            kind_name(in));
  }
  resize(in.items.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string item_path = join(path, std::to_string(i));
    places.put(item_path, in.items[i].origin);
    Codec<typename List::value_type>::read(in.items[i], item_path, places, values[i], {});
  }
}

template <class List>
Node write_list(const List& values, ChangeClass change) {
  Node out;
  out.kind = Node::Kind::List;
  for (const auto& value : values) {
    out.items.push_back(Codec<typename List::value_type>::write(value, change, {}));
    out.items.back().change = change;
  }
  return out;
}

template <class T>
struct Codec<std::vector<T>> {
  static void read(const Node& in, const std::string& path, Places& places, std::vector<T>& values,
                   const KeyOptions&) {
    read_list(in, path, places, values, [&](std::size_t n) { values.assign(n, T{}); });
  }
  static Node write(const std::vector<T>& values, ChangeClass change, const KeyOptions&) {
    return write_list(values, change);
  }
};

template <class T, std::size_t N>
struct Codec<std::array<T, N>> {
  static void read(const Node& in, const std::string& path, Places& places, std::array<T, N>& values,
                   const KeyOptions&) {
    read_list(in, path, places, values, [&](std::size_t n) {
      if (n != N) fail_at(in.origin, path, "has {} values. Give {}", n, N);
    });
  }
  static Node write(const std::array<T, N>& values, ChangeClass change, const KeyOptions&) {
    return write_list(values, change);
  }
};

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

template <class T>
void Section::key(std::string_view name, T& value, const KeyOptions& options) {
  names_.emplace_back(name);
  if (out_ != nullptr) {
    if constexpr (kIsOptional<T>) {
      if (options.terse && !value) return;
    }
    const ChangeClass change = options.change.value_or(change_);
    Node node = Codec<T>::write(value, change, options);
    node.key = name;
    node.change = change;
    out_->items.push_back(std::move(node));
    return;
  }
  if (in_ == nullptr) return;
  const std::string path = join(path_, name);
  if (const Node* node = in_->find(name)) {
    places_->put(path, node->origin);
    Codec<T>::read(*node, path, *places_, value, options);
  } else if (!options.required.empty()) {
    places_->missing(path, options.required);
  } else if constexpr (IsSection<T>) {
    Codec<T>::read(Node{}, path, *places_, value, options);  // for the required keys inside
  }
}

}  // namespace rt::config
