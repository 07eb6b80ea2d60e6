#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "io/archive_impl.h"
#include "io/text.h"
#include "rt/core/error.h"

// Layout: u64 header length | JSON header, padded with spaces | data. Each rule below closes a way in which
// two readers could see different tensors in one file, or in which a small file asks for a large allocation.
namespace rt::io {
namespace {
using std::filesystem::path;
using Json = nlohmann::json;

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

struct HeaderEntry {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape, offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

// Accepts exactly {"name": {"dtype": string, "shape": [u64...], "data_offsets": [u64, u64]}, "__metadata__":
// {...}}.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(const path& file) : file_(file) {}
  std::vector<HeaderEntry> entries;
  Metadata metadata;

  bool start_object(std::size_t) override {
    if (depth_ == 1 && in_metadata_) return ++depth_, true;
    if (depth_ == 1) entries.push_back({.name = key_, .dtype = {}, .shape = {}, .offsets = {}});
    if (depth_ >= 2) bad("nested too deeply");
    return ++depth_, true;
  }
  bool end_object() override {
    if (depth_-- != 2) return true;
    if (!in_metadata_) {
      const auto& e = entries.back();
      if (!e.has_dtype || !e.has_shape || !e.has_offsets) bad("needs dtype, shape and data_offsets");
      if (e.offsets.size() != 2) bad("data_offsets must be two numbers");
    }
    in_metadata_ = false;
    return true;
  }
  bool key(std::string& text) override {
    if (text.size() > kMaxTensorName && !(depth_ == 2 && in_metadata_)) bad("a key longer than 512 bytes");
    if (depth_ == 1) {
      key_ = text;
      if (!names_.insert(text).second) bad("appears twice");
      in_metadata_ = text == "__metadata__";
      if (!in_metadata_ && entries.size() >= kMaxTensors) bad("too many tensors");
    } else if (in_metadata_) {
      field_ = text;
      if (metadata.contains(text)) bad("metadata key " + shown(text) + " appears twice");
    } else {
      begin_field(text);
    }
    return true;
  }
  bool string(std::string& text) override {
    if (depth_ == 2 && in_metadata_) {
      metadata.emplace(field_, text);
    } else if (depth_ == 2 && field_ == "dtype") {
      entries.back().dtype = text;
    } else {
      bad("text where it does not belong");
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || field_ == "dtype") bad("an array where it does not belong");
    return ++depth_, true;
  }
  bool end_array() override { return --depth_, true; }
  bool number_unsigned(std::uint64_t value) override {
    if (depth_ != 3) bad("a number where it does not belong");
    auto& list = field_ == "shape" ? entries.back().shape : entries.back().offsets;
    if (list.size() >= Shape::kMaxRank) bad("more than 6 dimensions");
    list.push_back(value);
    return true;
  }
  bool number_integer(std::int64_t) override { return bad("a negative number"); }
  bool number_float(double, const std::string&) override { return bad("a number that is not an integer"); }
  bool null() override { return bad("null where it does not belong"); }
  bool boolean(bool) override { return bad("a boolean where it does not belong"); }
  bool binary(Json::binary_t&) override { return bad("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail(Exit::Checkpoint, "{}: the safetensors header is not valid JSON at byte {}", file_.string(),
         8 + position);
  }

 private:
  [[noreturn]] bool bad(const std::string& what) const {
    fail(Exit::Checkpoint, "{}: invalid safetensors header at {}: {}", file_.string(), shown(key_), what);
  }
  void begin_field(const std::string& text) {
    auto& e = entries.back();
    bool* seen = text == "dtype"          ? &e.has_dtype
                 : text == "shape"        ? &e.has_shape
                 : text == "data_offsets" ? &e.has_offsets
                                          : nullptr;
    if (seen == nullptr) bad("unknown field " + shown(text));
    if (*seen) bad("field " + shown(text) + " appears twice");
    *seen = true;
    field_ = text;
  }

  const path& file_;
  int depth_ = 0;
  bool in_metadata_ = false;
  std::string key_, field_;
  std::unordered_set<std::string> names_;
};

[[noreturn]] void explain_length(std::span<const std::byte> bytes, const path& file, std::uint64_t header) {
  constexpr std::string_view kLfs = "version https://git-lfs";
  if (bytes.size() >= kLfs.size() && std::memcmp(bytes.data(), kLfs.data(), kLfs.size()) == 0) {
    fail(Exit::Checkpoint,
         "{}: this is a git-lfs pointer, not the tensors. Run `git lfs pull` in its repository.",
         file.string());
  }
  if (bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0) {
    fail(Exit::Checkpoint, "{}: this is a GGUF file; safetensors or .pth is needed", file.string());
  }
  fail(Exit::Checkpoint,
       "{}: not a safetensors file, or truncated: header of {} bytes (limit {}) in a file of {}",
       file.string(), header, kMaxHeaderBytes, bytes.size());
}

std::string_view read_header(std::span<const std::byte> bytes, const path& file) {
  if (bytes.size() < 8) {
    fail(Exit::Checkpoint, "{}: {} bytes are too few for a tensor file", file.string(), bytes.size());
  }
  std::uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMaxHeaderBytes || length > bytes.size() - 8) explain_length(bytes, file, length);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, static_cast<std::size_t>(length));
  if (text.empty() || text.front() != '{') {
    fail(Exit::Checkpoint, "{}: not a safetensors file: its header does not start with a brace",
         file.string());
  }
  const auto end = text.rfind('}');
  if (end == std::string_view::npos || text.find_first_not_of(' ', end + 1) != std::string_view::npos) {
    fail(Exit::Checkpoint, "{}: the safetensors header ends in something other than spaces", file.string());
  }
  return text.substr(0, end + 1);
}

FileDType parse_dtype(const HeaderEntry& e, const path& file) {
  for (int t = 0; t <= static_cast<int>(FileDType::U64); ++t) {
    if (name(static_cast<FileDType>(t)) == e.dtype) return static_cast<FileDType>(t);
  }
  fail(Exit::Checkpoint, "{}: tensor {} has the unsupported type {}", file.string(), shown(e.name),
       shown(e.dtype));
}

ParsedTensor resolve(const HeaderEntry& e, std::span<const std::byte> data, std::uint64_t expected_begin,
                     const path& file) {
  ParsedTensor t;
  std::vector<std::int64_t> extents;
  for (const auto extent : e.shape) {
    if (extent > static_cast<std::uint64_t>(INT64_MAX)) {
      fail(Exit::Checkpoint, "{}: tensor {}: extent {} is too large", file.string(), shown(e.name), extent);
    }
    extents.push_back(static_cast<std::int64_t>(extent));
  }
  t.info = {e.name, parse_dtype(e, file), Shape(extents)};
  const auto bytes = static_cast<std::uint64_t>(checked_bytes(t.info.shape, t.info.dtype, file, e.name));
  const auto begin = e.offsets[0], end = e.offsets[1];
  if (begin != expected_begin || end < begin || end > data.size()) {
    fail(Exit::Checkpoint,
         "{}: tensor {} is at bytes {}-{}, expected to start at {} and to end by {} (hole or overlap)",
         file.string(), shown(e.name), begin, end, expected_begin, data.size());
  }
  if (end - begin != bytes) {
    fail(Exit::Checkpoint, "{}: tensor {} has {} bytes, but {} of {} are {}", file.string(), shown(e.name),
         end - begin, t.info.shape, e.dtype, bytes);
  }
  t.strides = contiguous_strides(t.info.shape);
  t.data = data.data() + begin;
  return t;
}

}  // namespace

ParsedArchive parse_safetensors(std::span<const std::byte> bytes, const path& file) {
  const auto text = read_header(bytes, file);
  std::uint64_t header;
  std::memcpy(&header, bytes.data(), sizeof header);
  HeaderReader reader(file);
  Json::sax_parse(text.begin(), text.end(), &reader);

  std::stable_sort(reader.entries.begin(), reader.entries.end(),
                   [](const HeaderEntry& a, const HeaderEntry& b) { return a.offsets < b.offsets; });
  const auto data = bytes.subspan(8 + static_cast<std::size_t>(header));
  ParsedArchive out;
  out.metadata = std::move(reader.metadata);
  std::uint64_t next = 0;
  for (const auto& e : reader.entries) {
    out.tensors.push_back(resolve(e, data, next, file));
    next = e.offsets[1];
  }
  if (next != data.size()) {
    fail(Exit::Checkpoint, "{}: {} bytes of data, but the tensors end at {} (truncated or trailing bytes)",
         file.string(), data.size(), next);
  }
  return out;
}

}  // namespace rt::io
