// From files and command-line overrides to one tree: include, --set, model.spec.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "config/schema.h"

namespace rt::config {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxFileBytes = 16 << 20;  // a config, not a data file given by mistake

// `asked` names the place that asks for the file, for messages; empty for the file of the command line.
std::string read_text(const std::string& file, const Origin* asked, std::string_view path) {
  const auto refuse = [&](std::string_view why) {
    if (asked != nullptr)
      fail_at(*asked, path, "{} \"{}\". Paths are relative to the file that names them", why, file);
    fail(Exit::Config, "{}: {}. Give the path of a YAML file", file, why);
  };
  std::error_code error;
  if (!fs::exists(file, error)) refuse("no such file");
  if (!fs::is_regular_file(file, error)) refuse("not a regular file");
  if (static_cast<std::int64_t>(fs::file_size(file, error)) > kMaxFileBytes)
    refuse("over 16 MiB, not a config");
  std::ifstream in(file, std::ios::binary);
  if (!in) refuse("cannot open");
  return {std::istreambuf_iterator<char>(in), {}};
}

// `over` wins; maps merge deeply, everything else replaces. An empty section ("eval:") leaves the one below
// it.
void merge(Node& under, Node over) {
  if (under.kind == Node::Kind::Map && over.kind == Node::Kind::Null) return;
  if (under.kind != Node::Kind::Map || over.kind != Node::Kind::Map) {
    under = std::move(over);
    return;
  }
  under.origin = over.origin;
  for (Node& entry : over.items) {
    if (Node* known = under.find(entry.key)) {
      merge(*known, std::move(entry));
    } else {
      under.items.push_back(std::move(entry));
    }
  }
}

void require_map(Node& root) {
  if (root.kind == Node::Kind::Null) root = Node::map(root.origin);
  if (root.kind == Node::Kind::Map) return;
  fail_at(root.origin, "", "the file is {}, not \"key: value\" lines. Start it with e.g. \"run:\"",
          kind_name(root));
}

void erase(Node& map, std::string_view key) {
  std::erase_if(map.items, [&](const Node& n) { return n.key == key; });
}

class FileLoader {
 public:
  Node load(const std::string& file, const Origin* asked, std::string_view path) {
    const std::string text = read_text(file, asked, path);
    const std::string identity = fs::canonical(file).string();
    if (std::any_of(open_.begin(), open_.end(), [&](const Open& o) { return o.identity == identity; })) {
      std::string chain;
      for (const Open& o : open_) chain += o.file + " -> ";
      fail_at(*asked, path, "the files include each other ({}{}). Remove one of the includes", chain, file);
    }
    open_.push_back({file, identity});
    Node root = with_includes(parse_yaml(text, file), fs::path(file).parent_path());
    open_.pop_back();
    return root;
  }

  Node with_includes(Node root, const fs::path& directory) {
    require_map(root);
    const Node* found = root.find("include");
    if (found == nullptr) return root;
    const Node include = *found;
    erase(root, "include");
    std::vector<Node> files = include.items;
    if (include.kind == Node::Kind::Scalar) files = {include};
    if (include.kind == Node::Kind::Map)
      fail_at(include.origin, "include", "is a map. Use e.g. [../base.yaml]");
    Node merged = Node::map(root.origin);
    for (const Node& file : files) {
      if (file.kind != Node::Kind::Scalar)
        fail_at(file.origin, "include", "is no path. Use e.g. [../base.yaml]");
      merge(merged, load((directory / file.text).lexically_normal().string(), &file.origin, "include"));
    }
    merge(merged, std::move(root));
    merged.origin = Origin{merged.origin.file};
    return merged;
  }

 private:
  struct Open {
    std::string file, identity;
  };
  std::vector<Open> open_;
};

std::optional<std::size_t> as_index(std::string_view text) {
  const auto value = parse_count(text);
  if (!value || text.empty() || text.back() < '0' || text.back() > '9') return std::nullopt;
  return static_cast<std::size_t>(*value);
}

// The node at the first component of `path` under `parent`, made if it is not there.
Node& child(Node& parent, const std::string& name, const std::string& here, const Origin& origin) {
  if (parent.kind == Node::Kind::Null) {
    parent.kind = as_index(name) ? Node::Kind::List : Node::Kind::Map;
    parent.origin = origin;
  }
  if (parent.kind == Node::Kind::Scalar) {
    fail_at(origin, here, "is the single value \"{}\", it has no \"{}\" inside", parent.text, name);
  }
  if (parent.kind == Node::Kind::Map) {
    if (Node* known = parent.find(name)) return *known;
    parent.items.emplace_back();
    parent.items.back().key = name;
  } else {
    const auto index = as_index(name);
    const std::size_t size = parent.items.size();
    if (!index || *index > size) {
      fail_at(origin, here, "is a list of {}, \"{}\" is no place in it. Use 0 to {}", size, name, size);
    }
    if (*index < size) return parent.items[*index];
    parent.items.emplace_back();
  }
  parent.items.back().origin = origin;
  return parent.items.back();
}

void apply_override(Node& root, const std::string& text) {
  const auto equals = text.find('=');
  const std::string path = text.substr(0, equals);
  const Origin origin{"--set " + path};
  const bool bad_path = path.empty() || path.front() == '.' || path.back() == '.' ||
                        path.find("..") != std::string::npos || path.find(' ') != std::string::npos;
  if (equals == std::string::npos || bad_path) {
    fail(Exit::Config, "--set {}: not of the form key=value. Use e.g. --set optimizer.lr=1.0e-3", text);
  }
  if (path == "include") fail_at(origin, path, "files are included by the config. Write include: there");
  Node value = parse_yaml(std::string_view(text).substr(equals + 1), origin.file, false, path);
  Node* at = &root;
  std::string here;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t dot = std::min(path.find('.', begin), path.size());
    const std::string name = path.substr(begin, dot - begin);
    at = &child(*at, name, here, origin);
    here = join(here, name);
    begin = dot + 1;
  }
  value.key = at->key;
  value.origin = origin;
  *at = std::move(value);
}

// model.spec names a file that holds a model section; it fills the keys that the run leaves open.
void resolve_spec(Node& root) {
  Node* model = root.find("model");
  Node* found = model == nullptr ? nullptr : model->find("spec");
  if (found == nullptr) return;
  const Node spec = *found;
  erase(*model, "spec");
  if (spec.kind == Node::Kind::Null) return;
  if (spec.kind != Node::Kind::Scalar)
    fail_at(spec.origin, "model.spec", "is no path. Use e.g. configs/model/x.yaml");
  const bool from_file = spec.origin.line > 0;
  const fs::path directory = from_file ? fs::path(spec.origin.file).parent_path() : fs::path();
  const std::string file = (directory / spec.text).lexically_normal().string();
  Node holder = FileLoader().load(file, &spec.origin, "model.spec");
  for (const Node& entry : holder.items) {
    if (entry.key == "model" || entry.key == "version") continue;
    fail_at(entry.origin, entry.key,
            "a file named by model.spec holds a model section only. Remove this key");
  }
  Node* base = holder.find("model");
  if (base == nullptr)
    fail_at(spec.origin, "model.spec", "\"{}\" has no model section. Add \"model:\" to it", file);
  if (const Node* nested = base->find("spec")) {
    fail_at(nested->origin, "model.spec", "a file named by model.spec cannot name another. Use include");
  }
  merge(*base, std::move(*model));
  *model = std::move(*base);
}

Node finish(Node root, std::span<const std::string> overrides) {
  for (const std::string& text : overrides) apply_override(root, text);
  resolve_spec(root);
  return root;
}

}  // namespace

Node load_tree(const std::string& file, std::span<const std::string> overrides) {
  return finish(FileLoader().load(file, nullptr, ""), overrides);
}

Node load_tree(std::string_view yaml, const std::string& name, std::span<const std::string> overrides) {
  return finish(FileLoader().with_includes(parse_yaml(yaml, name), {}), overrides);
}

}  // namespace rt::config
