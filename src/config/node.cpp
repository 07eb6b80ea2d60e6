#include "config/node.h"

#include <algorithm>
#include <utility>

namespace rt::config {

std::string Origin::where() const { return line > 0 ? rt::format("{}:{}:{}", file, line, column) : file; }

Node Node::scalar(std::string text, bool quoted) {
  Node node;
  node.kind = Kind::Scalar;
  node.text = std::move(text);
  node.quoted = quoted;
  return node;
}

Node Node::map(Origin origin) {
  Node node;
  node.kind = Kind::Map;
  node.origin = std::move(origin);
  return node;
}

const Node* Node::find(std::string_view wanted) const {
  if (kind != Kind::Map) return nullptr;
  const auto at = std::find_if(items.begin(), items.end(), [&](const Node& n) { return n.key == wanted; });
  return at == items.end() ? nullptr : &*at;
}

Node* Node::find(std::string_view wanted) { return const_cast<Node*>(std::as_const(*this).find(wanted)); }

std::string join(std::string_view parent, std::string_view key) {
  return parent.empty() ? std::string(key) : rt::format("{}.{}", parent, key);
}

void fail_line(const Origin& origin, std::string_view path, std::string_view message) {
  const std::string where = origin.where();
  const bool named = path.empty() || where == rt::format("--set {}", path);
  std::string line =
      named ? rt::format("{}: {}", where, message) : rt::format("{}: {}: {}", where, path, message);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  throw Error(Exit::Config, line);
}

namespace {

std::string escape(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (u < 0x20 || u == 0x7f) {
      out += "\\x";
      out += kHex[u >> 4];
      out += kHex[u & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

bool fits_one_line(const Node& list) {
  return std::all_of(list.items.begin(), list.items.end(), [](const Node& n) {
    return n.kind == Node::Kind::Scalar || n.kind == Node::Kind::Null;
  });
}

void emit_block(const Node& map, const std::string& indent, std::string& out) {
  for (const Node& entry : map.items) {
    out += indent + entry.key + ":";
    if (entry.kind == Node::Kind::Map && !entry.items.empty()) {
      out += '\n';
      emit_block(entry, indent + "  ", out);
    } else if (entry.kind == Node::Kind::List && !fits_one_line(entry)) {
      out += '\n';
      for (const Node& item : entry.items) out += indent + "  - " + emit_flow(item) + "\n";
    } else {
      out += rt::format(" {}\n", emit_flow(entry));
    }
  }
}

}  // namespace

std::string emit_flow(const Node& node) {
  switch (node.kind) {
    case Node::Kind::Null: return "null";
    case Node::Kind::Scalar: return node.quoted ? escape(node.text) : node.text;
    case Node::Kind::List:
    case Node::Kind::Map: break;
  }
  const bool map = node.kind == Node::Kind::Map;
  std::string out(1, map ? '{' : '[');
  for (const Node& item : node.items) {
    if (out.size() > 1) out += ", ";
    if (map) out += item.key + ": ";
    out += emit_flow(item);
  }
  out += map ? '}' : ']';
  return out;
}

std::string emit_yaml(const Node& root) {
  std::string out;
  emit_block(root, "", out);
  return out;
}

}  // namespace rt::config
