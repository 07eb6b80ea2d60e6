// The only file that sees yaml-cpp. Its Node API keeps duplicate keys without a word, so the tree is built
// from the parser's events.
#include <yaml-cpp/emitterstyle.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <optional>

#include "config/node.h"

namespace rt::config {
namespace {

constexpr std::string_view kNoWord = "a key must be a plain word. Check brackets and quotes";
constexpr std::int64_t kMaxNodes = 100'000;  // aliases of aliases grow without bound

std::int64_t count(const Node& node) {
  std::int64_t n = 1;
  for (const Node& item : node.items) n += count(item);
  return n;
}

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string file, bool located, std::string_view path)
      : file_(std::move(file)), located_(located), path_(path) {}

  Node take() { return std::move(root_); }

  Origin origin(const YAML::Mark& mark) const {
    return located_ && !mark.is_null() ? Origin{file_, mark.line + 1, mark.column + 1} : Origin{file_};
  }
  // Of the value being read.
  std::string path() const {
    std::string path = path_;
    for (const Frame& frame : frames_) {
      const bool list = frame.node.kind == Node::Kind::List;
      if (list) path = join(path, std::to_string(frame.node.items.size()));
      if (frame.key) path = join(path, frame.key->key);
    }
    return path;
  }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { put(leaf(mark), mark, anchor); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto at = anchors_.find(anchor);
    if (at == anchors_.end())
      fail_at(origin(mark), path(), "an alias inside its own anchor. Write the value out");
    grow(count(at->second), mark);
    put(at->second, mark, YAML::NullAnchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    Node node = leaf(mark);
    node.kind = Node::Kind::Scalar;
    node.text = value;
    node.quoted = tag == "!";
    put(std::move(node), mark, anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::List);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::Map);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Node node;
    YAML::Mark mark;
    YAML::anchor_t anchor = YAML::NullAnchor;
    std::optional<Node> key;  // of the entry whose value comes next
  };

  Node leaf(const YAML::Mark& mark) const {
    Node node;
    node.origin = origin(mark);
    return node;
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (tag.empty() || tag == "?" || tag == "!") return;
    fail_at(origin(mark), path(), "YAML tags such as {} are not read. Remove it", tag);
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind) {
    refuse_tag(mark, tag);
    if (wants_key()) fail_at(origin(mark), path(), kNoWord);
    Node node = leaf(mark);
    node.kind = kind;
    frames_.push_back({std::move(node), mark, anchor, std::nullopt});
  }

  void close() {
    Frame done = std::move(frames_.back());
    frames_.pop_back();
    put(std::move(done.node), done.mark, done.anchor);
  }

  bool wants_key() const {
    return !frames_.empty() && frames_.back().node.kind == Node::Kind::Map && !frames_.back().key;
  }

  void grow(std::int64_t nodes, const YAML::Mark& mark) {
    nodes_ += nodes;
    if (nodes_ > kMaxNodes)
      fail_at(origin(mark), path(), "aliases expand to over {} values. Use fewer", kMaxNodes);
  }

  void put(Node node, const YAML::Mark& mark, YAML::anchor_t anchor) {
    grow(1, mark);
    if (wants_key()) return put_key(std::move(node), mark);
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.key) {
      node.key = std::move(frame.key->text);
      node.origin = std::move(frame.key->origin);
      frame.key.reset();
    } else {
      node.key.clear();
    }
    frame.node.items.push_back(std::move(node));
  }

  void put_key(Node key, const YAML::Mark& mark) {
    if (key.kind != Node::Kind::Scalar) fail_at(origin(mark), path(), kNoWord);
    key.origin = origin(mark);
    key.key = key.text;
    Frame& frame = frames_.back();
    if (const Node* first = frame.node.find(key.text)) {
      const std::string line =
          first->origin.line > 0 ? rt::format(" (first at line {})", first->origin.line) : "";
      fail_at(key.origin, join(path(), key.text), "set twice{}. Remove one of the two", line);
    }
    frame.key = std::move(key);
  }

  std::string file_;
  bool located_;
  std::string path_;
  Node root_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Node> anchors_;
  std::int64_t nodes_ = 0;
};

}  // namespace

Node parse_yaml(std::string_view text, const std::string& file, bool located, std::string_view path) {
  TreeBuilder builder(file, located, path);
  std::istringstream in{std::string(text)};
  try {
    YAML::Parser parser(in);
    parser.HandleNextDocument(builder);
    Node root = builder.take();
    if (root.origin.file.empty()) root.origin = Origin{file};
    if (parser && parser.HandleNextDocument(builder)) {
      fail(Exit::Config, "{}: holds more than one YAML document. Keep one and remove the \"---\" lines",
           file);
    }
    return root;
  } catch (const YAML::Exception& e) {
    fail_at(builder.origin(e.mark), path, "not valid YAML: {}. Check indentation, brackets and quotes",
            e.msg);
  }
}

}  // namespace rt::config
