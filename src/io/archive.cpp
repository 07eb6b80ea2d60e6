#include "rt/io/archive.h"

#include <algorithm>
#include <cstring>

#include "io/archive_impl.h"
#include "io/convert.h"
#include "io/text.h"
#include "rt/core/error.h"
#include "rt/core/host.h"

namespace rt::io {
namespace {

struct TypeName {
  FileDType type;
  std::string_view name;
  std::size_t size;
};
constexpr TypeName kTypes[] = {
    {FileDType::Bool, "BOOL", 1},      {FileDType::U8, "U8", 1},          {FileDType::I8, "I8", 1},
    {FileDType::F8E5M2, "F8_E5M2", 1}, {FileDType::F8E4M3, "F8_E4M3", 1}, {FileDType::I16, "I16", 2},
    {FileDType::U16, "U16", 2},        {FileDType::F16, "F16", 2},        {FileDType::BF16, "BF16", 2},
    {FileDType::I32, "I32", 4},        {FileDType::U32, "U32", 4},        {FileDType::F32, "F32", 4},
    {FileDType::F64, "F64", 8},        {FileDType::I64, "I64", 8},        {FileDType::U64, "U64", 8},
};

// The DType a view of this type may carry, if any.
bool viewable(FileDType type, DType& as) {
  switch (type) {
    case FileDType::F64: as = DType::F64; return true;
    case FileDType::F32: as = DType::F32; return true;
    case FileDType::BF16: as = DType::BF16; return true;
    case FileDType::I32: as = DType::I32; return true;
    case FileDType::U8:
    case FileDType::Bool: as = DType::U8; return true;
    default: return false;
  }
}

void convert_or_fail(const TensorArchive::Impl& impl, std::size_t i, std::byte* to, FileDType type) {
  const auto& t = impl.parsed[i];
  const auto result = convert(t.data, t.info.dtype, t.info.shape, t.strides, to, type);
  if (result == Converted::Yes) return;
  fail(Exit::Checkpoint, "{}: tensor {} of {} cannot be read as {}: {}", impl.path.string(),
       shown(t.info.name), name(t.info.dtype), name(type),
       result == Converted::OutOfRange ? "a value does not fit" : "it holds floating-point numbers");
}

template <class T>
std::vector<T> read_as(const TensorArchive::Impl& impl, std::string_view tensor, FileDType type) {
  const auto i = impl.at(tensor);
  std::vector<T> out(static_cast<std::size_t>(impl.infos[i].shape.numel()));
  convert_or_fail(impl, i, reinterpret_cast<std::byte*>(out.data()), type);
  return out;
}

}  // namespace

std::string_view name(FileDType t) { return kTypes[static_cast<std::size_t>(t)].name; }
std::size_t size_of(FileDType t) { return kTypes[static_cast<std::size_t>(t)].size; }

FileDType file_dtype(DType t) {
  switch (t) {
    case DType::F64: return FileDType::F64;
    case DType::F32: return FileDType::F32;
    case DType::BF16: return FileDType::BF16;
    case DType::I32: return FileDType::I32;
    case DType::U8: break;
  }
  return FileDType::U8;
}

std::int64_t checked_bytes(const Shape& shape, FileDType dtype, const std::filesystem::path& path,
                           const std::string& tensor) {
  // Strides are computed for empty tensors too, so an extent of 0 does not excuse the others.
  auto bytes = static_cast<std::int64_t>(size_of(dtype));
  bool empty = false;
  for (const auto extent : shape) {
    empty = empty || extent == 0;
    if (__builtin_mul_overflow(bytes, std::max<std::int64_t>(extent, 1), &bytes)) {
      fail(Exit::Checkpoint, "{}: tensor {}: the size of shape {} overflows", path.string(), shown(tensor),
           shape);
    }
  }
  return empty ? 0 : bytes;
}

TensorArchive::Impl::Impl(std::filesystem::path path_, MappedFile file_, ParsedArchive archive)
    : path(std::move(path_)),
      file(std::move(file_)),
      metadata(std::move(archive.metadata)),
      parsed(std::move(archive.tensors)) {
  infos.reserve(parsed.size());
  for (const auto& t : parsed) infos.push_back(t.info);
  for (std::size_t i = 0; i < infos.size(); ++i) index.emplace(infos[i].name, i);
}

std::size_t TensorArchive::Impl::at(std::string_view tensor) const {
  const auto found = index.find(tensor);
  if (found == index.end()) {
    fail(Exit::Checkpoint, "{}: no tensor {} among its {}", path.string(), shown(tensor), infos.size());
  }
  return found->second;
}

TensorArchive::TensorArchive(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TensorArchive::TensorArchive(TensorArchive&&) noexcept = default;
TensorArchive& TensorArchive::operator=(TensorArchive&&) noexcept = default;
TensorArchive::~TensorArchive() = default;

const std::filesystem::path& TensorArchive::path() const { return impl_->path; }
std::span<const TensorInfo> TensorArchive::tensors() const { return impl_->infos; }
bool TensorArchive::contains(std::string_view tensor) const { return impl_->index.contains(tensor); }
const TensorInfo& TensorArchive::info(std::string_view tensor) const {
  return impl_->infos[impl_->at(tensor)];
}
const Metadata& TensorArchive::metadata() const { return impl_->metadata; }

std::vector<std::string> TensorArchive::names() const {
  std::vector<std::string> out;
  out.reserve(impl_->infos.size());
  for (const auto& info : impl_->infos) out.push_back(info.name);
  return out;
}

TensorView TensorArchive::tensor(std::string_view tensor) const {
  const auto i = impl_->at(tensor);
  const auto& t = impl_->parsed[i];
  DType dtype{};
  if (!viewable(t.info.dtype, dtype)) {
    fail(Exit::Checkpoint,
         "{}: tensor {} is {}, which has no view; read_f32, read_f64 or read_i64 convert it",
         impl_->path.string(), shown(tensor), io::name(t.info.dtype));
  }
  const bool aligned = reinterpret_cast<std::uintptr_t>(t.data) % rt::size_of(dtype) == 0;
  const std::byte* data = t.data;
  if (!aligned || t.strides != contiguous_strides(t.info.shape)) {
    const std::lock_guard lock(impl_->mutex);
    auto [copy, fresh] = impl_->copies.try_emplace(i);
    if (fresh) {
      // At least one byte, because an empty view means "absent".
      const auto bytes = static_cast<std::size_t>(t.info.shape.numel()) * rt::size_of(dtype);
      copy->second.resize(std::max<std::size_t>(bytes, 1));
      convert_or_fail(*impl_, i, copy->second.data(), t.info.dtype);
    }
    data = copy->second.data();
  }
  return {const_cast<std::byte*>(data), t.info.shape, dtype};
}

std::vector<float> TensorArchive::read_f32(std::string_view tensor) const {
  return read_as<float>(*impl_, tensor, FileDType::F32);
}
std::vector<double> TensorArchive::read_f64(std::string_view tensor) const {
  return read_as<double>(*impl_, tensor, FileDType::F64);
}
std::vector<std::int64_t> TensorArchive::read_i64(std::string_view tensor) const {
  return read_as<std::int64_t>(*impl_, tensor, FileDType::I64);
}

void TensorArchive::read_into(std::string_view tensor, const TensorView& out) const {
  RT_CHECK(out.is_contiguous(), "read_into \"{}\": needs contiguous memory", tensor);
  const auto i = impl_->at(tensor);
  if (impl_->infos[i].shape != out.shape) {
    fail(Exit::Checkpoint, "{}: tensor {} has shape {}, expected {}", impl_->path.string(), shown(tensor),
         impl_->infos[i].shape, out.shape);
  }
  const HostTensor host(out, HostTensor::Contents::Undefined);
  convert_or_fail(*impl_, i, host.view().data, file_dtype(out.dtype));
  host.write_back();
}

void TensorArchive::read_part(std::string_view tensor, std::int64_t begin, const TensorView& out) const {
  const TensorInfo& found = info(tensor);
  const std::int64_t n = found.shape.numel(), end = begin + out.numel();
  RT_CHECK(begin >= 0 && end <= n, "read_part \"{}\": elements {} to {} of {}", tensor, begin, end, n);
  if (found.dtype == file_dtype(out.dtype))
    return copy(out, this->tensor(tensor).reshape({n}).slice(0, begin, end));
  const Tensor whole(found.shape, out.dtype);
  read_into(tensor, whole.view);
  copy(out, whole.view.reshape({n}).slice(0, begin, end));
}

namespace {
using Parser = ParsedArchive (*)(std::span<const std::byte>, const std::filesystem::path&);

TensorArchive open_with(const std::filesystem::path& path, MappedFile file, Parser parse) {
  auto parsed = parse(file.bytes(), path);
  return TensorArchive(std::make_unique<TensorArchive::Impl>(path, std::move(file), std::move(parsed)));
}
}  // namespace

TensorArchive open_safetensors(const std::filesystem::path& path) {
  return open_with(path, MappedFile(path, Exit::Checkpoint), parse_safetensors);
}
TensorArchive open_pth(const std::filesystem::path& path) {
  return open_with(path, MappedFile(path, Exit::Checkpoint), parse_pth);
}

TensorArchive open_archive(const std::filesystem::path& path) {
  MappedFile file(path, Exit::Checkpoint);
  const auto bytes = file.bytes();
  const auto starts_with = [&](std::string_view magic) {
    return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
  };
  // 0x80 is a bare pickle: parse_pth explains. As the first byte of a safetensors length it would mean a
  // header of 128 + 256 k bytes, so the second byte has to be a pickle protocol and the ninth not a brace.
  const bool pickle = bytes.size() > 8 && bytes[0] == std::byte{0x80} && bytes[1] <= std::byte{5} &&
                      bytes[8] != std::byte{'{'};
  return open_with(path, std::move(file),
                   starts_with("PK\x03\x04") || pickle ? parse_pth : parse_safetensors);
}

}  // namespace rt::io
