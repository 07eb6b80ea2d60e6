#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

// Writes what torch.save writes, and what it should never write.
namespace rt::io::test {

template <class T>
std::string raw(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

// Pickle opcodes one after the other.
class Pickle {
 public:
  Pickle() { op("\x80\x02"); }
  Pickle& op(std::string bytes) {
    bytes_ += bytes;
    return *this;
  }
  Pickle& text(const std::string& s) { return op("X").op(raw(static_cast<std::uint32_t>(s.size()))).op(s); }
  Pickle& integer(std::int64_t v) {
    if (v >= INT32_MIN && v <= INT32_MAX) return op("J").op(raw(static_cast<std::int32_t>(v)));
    return op("\x8a\x08").op(raw(v));
  }
  Pickle& global(const std::string& module, const std::string& name) {
    return op("c").op(module).op("\n").op(name).op("\n");
  }
  Pickle& integers(const std::vector<std::int64_t>& v) {
    op("(");
    for (const auto i : v) integer(i);
    return op("t");
  }
  Pickle& storage(const std::string& type, const std::string& key, std::int64_t count) {
    op("(").text("storage").global("torch", type).text(key).text("cuda:0").integer(count);
    return op("tQ");
  }
  Pickle& tensor(const std::string& type, const std::string& key, std::int64_t count, std::int64_t offset,
                 const std::vector<std::int64_t>& size, const std::vector<std::int64_t>& stride) {
    global("torch._utils", "_rebuild_tensor_v2").op("(").storage(type, key, count).integer(offset);
    integers(size).integers(stride).op("\x89").ordered_dict();
    return op("tR");
  }
  Pickle& ordered_dict() { return global("collections", "OrderedDict").op(")R"); }
  std::string stop() const { return bytes_ + "."; }

 private:
  std::string bytes_;
};

struct ZipEntry {
  std::string name, data;
  std::uint16_t method = 0;
};

// Local headers as PyTorch writes them: flags 0x0808, sizes in the central
// directory, data padded to 64 bytes. With `zip64`, sizes and offsets are in
// the extra fields and the end record is the 64-bit one.
inline std::string make_zip(const std::vector<ZipEntry>& entries, bool zip64 = false) {
  std::string out, central;
  const std::uint32_t full = 0xffffffffu;
  for (const auto& e : entries) {
    const std::uint64_t header = out.size();
    const auto size32 = static_cast<std::uint32_t>(e.data.size());
    const auto name_size = static_cast<std::uint16_t>(e.name.size());
    const std::size_t unpadded = header + 30 + e.name.size() + 4;
    const auto pad = static_cast<std::uint16_t>((64 - unpadded % 64) % 64);
    out += "PK\x03\x04" + raw<std::uint16_t>(0) + raw<std::uint16_t>(0x0808) + raw(e.method) +
           raw<std::uint32_t>(0) + raw<std::uint32_t>(0) + raw<std::uint32_t>(0) + raw<std::uint32_t>(0) +
           raw(name_size) + raw(static_cast<std::uint16_t>(pad + 4)) + e.name + "FB" + raw(pad) +
           std::string(pad, 'Z') + e.data;
    std::string extra;
    if (zip64) {
      extra = raw<std::uint16_t>(1) + raw<std::uint16_t>(24) + raw<std::uint64_t>(e.data.size()) +
              raw<std::uint64_t>(e.data.size()) + raw(header);
    }
    central += "PK\x01\x02" + raw<std::uint16_t>(0) + raw<std::uint16_t>(0) + raw<std::uint16_t>(0x0808) +
               raw(e.method) + raw<std::uint32_t>(0) + raw<std::uint32_t>(0) + raw(zip64 ? full : size32) +
               raw(zip64 ? full : size32) + raw(name_size) + raw(static_cast<std::uint16_t>(extra.size())) +
               raw<std::uint16_t>(0) + raw<std::uint16_t>(0) + raw<std::uint16_t>(0) + raw<std::uint32_t>(0) +
               raw(zip64 ? full : static_cast<std::uint32_t>(header)) + e.name + extra;
  }
  const std::uint64_t begin = out.size(), size = central.size(), count = entries.size();
  out += central;
  if (zip64) {
    const std::uint64_t end64 = out.size();
    out += "PK\x06\x06" + raw<std::uint64_t>(44) + raw<std::uint32_t>(0) + raw<std::uint64_t>(0) +
           raw(count) + raw(count) + raw(size) + raw(begin);
    out += "PK\x06\x07" + raw<std::uint32_t>(0) + raw(end64) + raw<std::uint32_t>(1);
  }
  const auto count16 = static_cast<std::uint16_t>(zip64 ? 0xffff : count);
  return out + "PK\x05\x06" + raw<std::uint32_t>(0) + raw(count16) + raw(count16) +
         raw(zip64 ? full : static_cast<std::uint32_t>(size)) +
         raw(zip64 ? full : static_cast<std::uint32_t>(begin)) + raw<std::uint16_t>(0);
}

template <class T>
std::string storage_of(const std::vector<T>& values) {
  std::string out(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
  return out;
}

inline std::vector<ZipEntry> pth_entries(const std::string& pickle, std::vector<ZipEntry> storages) {
  std::vector<ZipEntry> out{{"m/data.pkl", pickle}, {"m/version", "3\n"}, {"m/byteorder", "little"}};
  for (auto& s : storages) out.push_back({"m/data/" + s.name, std::move(s.data)});
  return out;
}

}  // namespace rt::io::test
