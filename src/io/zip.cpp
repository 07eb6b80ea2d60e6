#include "io/zip.h"

#include <cstring>
#include <optional>

#include "io/text.h"
#include "rt/core/error.h"

namespace rt::io {
namespace {

constexpr std::uint64_t kMaxEntries = 2'000'000;
constexpr std::uint64_t kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20, kCentralBytes = 46,
                        kLocalBytes = 30;
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint32_t kSaturated32 = 0xffffffffu;

// Bounds-checked little-endian reads; every failure names the file and what was being read.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::filesystem::path& path) : bytes_(bytes), path_(path) {}

  std::span<const std::byte> range(std::uint64_t at, std::uint64_t size, const char* what) const {
    if (at > bytes_.size() || size > bytes_.size() - at) bad(what, "outside of the file");
    return bytes_.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(size));
  }
  template <class T>
  T get(std::uint64_t at, const char* what) const {
    T value;
    std::memcpy(&value, range(at, sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::string_view text(std::uint64_t at, std::uint64_t size, const char* what) const {
    const auto r = range(at, size, what);
    return {reinterpret_cast<const char*>(r.data()), r.size()};
  }
  std::uint64_t size() const { return bytes_.size(); }
  [[noreturn]] void bad(const char* what, const char* why) const {
    fail(Exit::Checkpoint, "{}: not a readable zip file, or truncated: {}: {}", path_.string(), what, why);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::filesystem::path& path_;
};

struct Directory {
  std::uint64_t begin, size, entries;
};

Directory find_directory(const Reader& in) {
  if (in.size() < kEndBytes) in.bad("end of central directory", "missing");
  const std::uint64_t lowest = in.size() > kEndBytes + 0xffff ? in.size() - kEndBytes - 0xffff : 0;
  std::uint64_t end = in.size() - kEndBytes;
  while (in.get<std::uint32_t>(end, "end") != 0x06054b50u ||
         end + kEndBytes + in.get<std::uint16_t>(end + 20, "end") != in.size()) {
    if (end == lowest) in.bad("end of central directory", "missing");
    --end;
  }
  if (in.get<std::uint32_t>(end + 4, "end") != 0)
    in.bad("end of central directory", "split over several disks");
  Directory d{in.get<std::uint32_t>(end + 16, "end"), in.get<std::uint32_t>(end + 12, "end"),
              in.get<std::uint16_t>(end + 10, "end")};
  std::uint64_t limit = end;
  const bool saturated = d.begin == kSaturated32 || d.size == kSaturated32 || d.entries == 0xffff;
  if (saturated && end >= kLocatorBytes &&
      in.get<std::uint32_t>(end - kLocatorBytes, "locator") == 0x07064b50u) {
    const auto end64 = in.get<std::uint64_t>(end - kLocatorBytes + 8, "zip64 locator");
    in.range(end64, kEnd64Bytes, "zip64 end of central directory");
    if (in.get<std::uint32_t>(end64, "zip64 end") != 0x06064b50u)
      in.bad("zip64 end of central directory", "missing");
    d = {in.get<std::uint64_t>(end64 + 48, "zip64 end"), in.get<std::uint64_t>(end64 + 40, "zip64 end"),
         in.get<std::uint64_t>(end64 + 32, "zip64 end")};
    limit = end64;
  }
  if (d.begin > limit || d.size > limit - d.begin) in.bad("central directory", "outside of the file");
  if (d.entries > kMaxEntries || d.entries > d.size / kCentralBytes)
    in.bad("central directory", "too many entries");
  return d;
}

struct Entry {
  std::string name;
  std::uint64_t stored, size, header;
};

// Replaces saturated 32-bit fields by those of the ZIP64 extra field, which has them in this order.
void apply_zip64(const Reader& in, std::uint64_t at, std::uint64_t extra_size, Entry& e) {
  const std::uint64_t end = at + extra_size;
  while (at + 4 <= end) {
    const auto id = in.get<std::uint16_t>(at, "extra field");
    const auto size = in.get<std::uint16_t>(at + 2, "extra field");
    at += 4;
    if (size > end - at) in.bad("extra field", "longer than its entry");
    if (id == kZip64Extra) {
      const std::uint64_t field_end = at + size;
      for (std::uint64_t* value : {&e.size, &e.stored, &e.header}) {
        if (*value != kSaturated32) continue;
        if (field_end - at < 8) in.bad("zip64 extra field", "too short");
        *value = in.get<std::uint64_t>(at, "zip64 extra field");
        at += 8;
      }
      return;
    }
    at += size;
  }
}

std::span<const std::byte> entry_data(const Reader& in, const Entry& e, std::uint64_t directory) {
  if (in.get<std::uint32_t>(e.header, "local header") != 0x04034b50u) in.bad("local header", "missing");
  const auto name_size = in.get<std::uint16_t>(e.header + 26, "local header");
  const auto extra_size = in.get<std::uint16_t>(e.header + 28, "local header");
  // Readers that trust local headers must not see other names than this one.
  if (in.text(e.header + kLocalBytes, name_size, "local name") != e.name)
    in.bad("local header", "another name");
  const std::uint64_t begin = e.header + kLocalBytes + name_size + extra_size;
  if (begin > directory || e.size > directory - begin) in.bad("entry", "runs into the central directory");
  return in.range(begin, e.size, "entry");
}

}  // namespace

std::map<std::string, std::span<const std::byte>> read_stored_zip(std::span<const std::byte> bytes,
                                                                  const std::filesystem::path& path) {
  const Reader in(bytes, path);
  const auto directory = find_directory(in);
  std::map<std::string, std::span<const std::byte>> out;
  std::uint64_t at = directory.begin;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    in.range(at, kCentralBytes, "central directory");
    if (in.get<std::uint32_t>(at, "central directory") != 0x02014b50u)
      in.bad("central directory", "broken entry");
    const auto flags = in.get<std::uint16_t>(at + 8, "flags");
    const auto method = in.get<std::uint16_t>(at + 10, "method");
    const auto name_size = in.get<std::uint16_t>(at + 28, "name");
    const auto extra_size = in.get<std::uint16_t>(at + 30, "extra");
    const auto comment_size = in.get<std::uint16_t>(at + 32, "comment");
    Entry e{std::string(in.text(at + kCentralBytes, name_size, "name")),
            in.get<std::uint32_t>(at + 20, "size"), in.get<std::uint32_t>(at + 24, "size"),
            in.get<std::uint32_t>(at + 42, "offset")};
    apply_zip64(in, at + kCentralBytes + name_size, extra_size, e);
    if ((flags & 1u) != 0 || method != 0 || e.stored != e.size) {
      fail(Exit::Checkpoint, "{}: entry {} is compressed or encrypted; torch.save stores entries plainly",
           path.string(), shown(e.name));
    }
    if (e.header > directory.begin) in.bad("local header", "outside of the file");
    const auto data = entry_data(in, e, directory.begin);
    const auto [found, fresh] = out.try_emplace(e.name, data);
    if (!fresh && found->second.size() != data.size()) in.bad("entry", "one name twice with different sizes");
    found->second = data;
    at += kCentralBytes + name_size + extra_size + comment_size;
    if (at > directory.begin + directory.size) in.bad("central directory", "longer than stated");
  }
  return out;
}

}  // namespace rt::io
