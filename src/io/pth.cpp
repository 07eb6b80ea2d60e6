#include <algorithm>
#include <cstring>
#include <string_view>
#include <unordered_set>

#include "io/archive_impl.h"
#include "io/pickle.h"
#include "io/text.h"
#include "io/zip.h"
#include "rt/core/error.h"

namespace rt::io {
namespace {
using pickle::Document;
using pickle::Kind;
using pickle::Value;
using std::filesystem::path;
using Entries = std::map<std::string, std::span<const std::byte>>;

// The folder of `data.pkl`, with its slash. There must be one.
std::string find_folder(const Entries& entries, const path& file) {
  std::string folder;
  int found = 0;
  for (const auto& [name, data] : entries) {
    const auto slash = name.find('/');
    if (slash != std::string::npos && std::string_view(name).substr(slash + 1) == "data.pkl") {
      folder = name.substr(0, slash + 1);
      ++found;
    }
  }
  if (found != 1) {
    fail(Exit::Checkpoint, "{}: a zip file, but not from torch.save: {} data.pkl in it", file.string(),
         found);
  }
  return folder;
}

class StateDictReader {
 public:
  StateDictReader(const Document& document, const Entries& entries, std::string folder, const path& file)
      : document_(document), entries_(entries), folder_(std::move(folder)), file_(file) {}

  ParsedArchive read() {
    const Value& dict = unwrap(document_.at(document_.root), 0);
    ParsedArchive out;
    std::unordered_set<std::string> seen;
    for (std::size_t i = 0; i < dict.items.size(); i += 2) {
      const Value& key = document_.at(dict.items[i]);
      const Value& value = document_.at(dict.items[i + 1]);
      if (value.kind != Kind::Tensor) continue;
      if (key.kind != Kind::Text || key.text.size() > kMaxTensorName)
        bad("a tensor under a key that is not a name");
      if (!seen.insert(key.text).second) bad("two tensors named " + shown(key.text));
      out.tensors.push_back(tensor(key.text, value));
    }
    if (out.tensors.empty()) bad("no tensors in it; expected the dict of a state_dict()");
    while (strip_prefix(out.tensors, "_forward_module.") || strip_prefix(out.tensors, "module.")) {}
    return out;
  }

 private:
  [[noreturn]] void bad(const std::string& what) const {
    fail(Exit::Checkpoint, "{}: {}", file_.string(), what);
  }

  bool holds_tensors(const Value& dict) const {
    for (std::size_t i = 1; i < dict.items.size(); i += 2) {
      if (document_.at(dict.items[i]).kind == Kind::Tensor) return true;
    }
    return false;
  }

  // The dict with the tensors, through the names that trainers wrap it in.
  const Value& unwrap(const Value& value, int depth) const {
    constexpr int kMaxDepth = 64;
    if (value.kind != Kind::Dict) bad("the pickle is not a dict of tensors");
    if (depth > kMaxDepth) bad("state dicts nested too deeply");
    if (holds_tensors(value)) return value;
    for (const std::string_view name : {"state_dict", "module", "model"}) {
      for (std::size_t i = 0; i < value.items.size(); i += 2) {
        const Value& key = document_.at(value.items[i]);
        const Value& inner = document_.at(value.items[i + 1]);
        if (key.kind == Kind::Text && key.text == name && inner.kind == Kind::Dict)
          return unwrap(inner, depth + 1);
      }
    }
    return value;
  }

  static bool strip_prefix(std::vector<ParsedTensor>& tensors, std::string_view prefix) {
    for (const auto& t : tensors) {
      if (!t.info.name.starts_with(prefix)) return false;
    }
    for (auto& t : tensors) t.info.name.erase(0, prefix.size());
    return true;
  }

  std::span<const std::byte> storage_bytes(const Value& storage) const {
    const auto found = entries_.find(folder_ + "data/" + storage.text);
    if (found == entries_.end()) bad("storage " + shown(storage.text) + " is missing from the zip");
    std::int64_t bytes;
    if (__builtin_mul_overflow(storage.integer, static_cast<std::int64_t>(size_of(storage.dtype)), &bytes) ||
        static_cast<std::uint64_t>(bytes) != found->second.size()) {
      fail(Exit::Checkpoint, "{}: storage {} has {} bytes, but {} elements of {} are stated", file_.string(),
           shown(storage.text), found->second.size(), storage.integer, io::name(storage.dtype));
    }
    return found->second;
  }

  Shape extents(const Value& tuple, const std::string& name) const {
    if (tuple.items.size() > Shape::kMaxRank) bad("tensor " + shown(name) + " has more than 6 dimensions");
    std::vector<std::int64_t> out;
    for (const auto item : tuple.items) out.push_back(document_.at(item).integer);
    return Shape(out);
  }

  ParsedTensor tensor(const std::string& name, const Value& value) const {
    const Value& storage = document_.at(value.items[0]);
    const auto bytes = storage_bytes(storage);
    ParsedTensor t;
    t.info = {name, storage.dtype, extents(document_.at(value.items[2]), name)};
    t.strides = extents(document_.at(value.items[3]), name);
    checked_bytes(t.info.shape, t.info.dtype, file_, name);
    const std::int64_t count = t.info.shape.numel();
    std::int64_t last = document_.at(value.items[1]).integer;  // index of the last element
    bool fits = count == 0 ? last <= storage.integer : true;
    const std::int64_t offset = last;
    for (int d = 0; count > 0 && d < t.info.shape.rank(); ++d) {
      std::int64_t span = 0;
      fits = fits && !__builtin_mul_overflow(t.info.shape[d] - 1, t.strides[d], &span) &&
             !__builtin_add_overflow(last, span, &last);
    }
    // A stride of 0 can make a small storage a huge tensor, which would then be copied out.
    if (!fits || (count > 0 && last >= storage.integer) || count > storage.integer) {
      fail(Exit::Checkpoint, "{}: tensor {} of {} at {} reaches outside of its storage of {} elements",
           file_.string(), shown(name), t.info.shape, offset, storage.integer);
    }
    normalise_strides(t);
    t.data = bytes.data() + offset * static_cast<std::int64_t>(size_of(storage.dtype));
    return t;
  }

  // The stride of an extent of 1, and every stride of an empty tensor, means nothing: make it the contiguous
  // one, so that contiguous tensors are recognised.
  static void normalise_strides(ParsedTensor& t) {
    const auto contiguous = contiguous_strides(t.info.shape);
    const bool empty = t.info.shape.numel() == 0;
    for (int d = 0; d < t.info.shape.rank(); ++d) {
      if (empty || t.info.shape[d] == 1) t.strides[d] = contiguous[d];
    }
  }

  const Document& document_;
  const Entries& entries_;
  std::string folder_;
  const path& file_;
};

void check_byte_order(const Entries& entries, const std::string& folder, const path& file) {
  const auto found = entries.find(folder + "byteorder");
  if (found == entries.end()) return;
  const std::string_view order(reinterpret_cast<const char*>(found->second.data()), found->second.size());
  if (order != "little") {
    fail(Exit::Checkpoint, "{}: byte order {}; only little is supported", file.string(), shown(order));
  }
}

}  // namespace

ParsedArchive parse_pth(std::span<const std::byte> bytes, const path& file) {
  if (bytes.size() >= 2 && bytes[0] == std::byte{0x80}) {
    fail(Exit::Checkpoint,
         "{}: a .pth of the old format (before PyTorch 1.6). Rewrite it with: torch.save(torch.load(path), "
         "path)",
         file.string());
  }
  const auto entries = read_stored_zip(bytes, file);
  const auto folder = find_folder(entries, file);
  check_byte_order(entries, folder, file);
  const auto document = pickle::load(entries.at(folder + "data.pkl"), file);
  return StateDictReader(document, entries, folder, file).read();
}

}  // namespace rt::io
