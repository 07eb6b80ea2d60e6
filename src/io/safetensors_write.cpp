#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "io/archive_impl.h"
#include "io/text.h"
#include "rt/core/device_reader.h"
#include "rt/core/error.h"
#include "rt/core/host.h"
#include "rt/io/safetensors.h"

namespace rt::io {
namespace {
constexpr std::size_t kDataAlignment = 64;

std::vector<const NamedTensor*> in_file_order(std::span<const NamedTensor> tensors, const std::string& path,
                                              bool with_data = true) {
  std::vector<const NamedTensor*> order;
  std::unordered_set<std::string_view> seen;
  for (const auto& t : tensors) {
    RT_CHECK(!with_data || t.view.data != nullptr || t.view.numel() == 0, "{}: tensor {} has no data", path,
             shown(t.name));
    RT_CHECK(t.name != "__metadata__" && t.name.size() <= kMaxTensorName, "{}: {} cannot name a tensor", path,
             shown(t.name));
    RT_CHECK(seen.insert(t.name).second, "{}: tensor {} is given twice", path, shown(t.name));
    order.push_back(&t);
  }
  std::sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    const auto x = size_of(a->view.dtype), y = size_of(b->view.dtype);
    return x != y ? x > y : a->name < b->name;
  });
  return order;
}

std::string make_header(const std::vector<const NamedTensor*>& order, const Metadata& metadata,
                        const std::string& path) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  // push_back and not operator[]: ordered_json looks keys up linearly, and names are known to differ.
  auto& object = header.get_ref<nlohmann::ordered_json::object_t&>();
  for (const auto* t : order) {
    const auto end = offset + t->view.nbytes();
    nlohmann::ordered_json entry;
    entry["dtype"] = name(file_dtype(t->view.dtype));
    entry["shape"] = std::vector<std::int64_t>(t->view.shape.begin(), t->view.shape.end());
    entry["data_offsets"] = {offset, end};
    object.push_back({t->name, std::move(entry)});
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail(Exit::Checkpoint, "{}: a tensor name or metadata text is not UTF-8", path);
  }
  text.resize((8 + text.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment - 8, ' ');
  return text;
}

void write_elements(FileWriter& out, const TensorView& view) {
  if (view.numel() == 0) return;
  if (view.is_contiguous()) {
    out.write(view.data, view.nbytes());
    return;
  }
  for (std::int64_t i = 0; i < view.shape[0]; ++i) {
    TensorView row = view;
    row.data +=
        static_cast<std::ptrdiff_t>(i * view.strides[0]) * static_cast<std::ptrdiff_t>(size_of(view.dtype));
    row.shape = Shape(std::span(view.shape.begin() + 1, view.shape.end()));
    row.strides = Strides(std::span(view.strides.begin() + 1, view.strides.end()));
    write_elements(out, row);
  }
}

}  // namespace

void write_safetensors(FileWriter& out, std::span<const NamedTensor> tensors, const Metadata& metadata) {
  const auto order = in_file_order(tensors, out.path().string());
  const auto header = make_header(order, metadata, out.path().string());
  const std::uint64_t length = header.size();
  out.write(&length, sizeof length);
  out.write(header);
  for (const auto* t : order) write_elements(out, HostTensor(t->view).view());
}

std::pair<std::vector<FilePiece>, std::uint64_t> share_safetensors(const std::filesystem::path& path,
                                                                   std::span<const NamedTensor> tensors,
                                                                   std::span<const TensorPart> mine,
                                                                   const Metadata& metadata, bool leads) {
  const auto order = in_file_order(tensors, path.string(), false);
  const auto header = make_header(order, metadata, path.string());
  const std::uint64_t length = header.size();
  std::uint64_t size = sizeof length + length;
  std::unordered_map<std::string_view, std::uint64_t> places;
  for (const auto* t : order) {
    places[t->name] = size;
    size += t->view.nbytes();
  }
  SharedFileWriter out(path);
  if (leads) {
    std::string start(sizeof length, '\0');
    std::memcpy(start.data(), &length, sizeof length);
    start += header;
    out.write(0, start.data(), start.size());
  }
  std::vector<std::pair<std::uint64_t, const TensorPart*>> placed;
  for (const TensorPart& part : mine) {
    placed.emplace_back(
        places.at(part.name) + static_cast<std::uint64_t>(part.begin) * size_of(part.values.dtype), &part);
  }
  std::sort(placed.begin(), placed.end());
  DeviceReader reader;
  for (const auto& [place, part] : placed) {
    reader.read(part->values, [&, place = place](std::size_t at, std::span<const std::byte> piece) {
      out.write(place + at, piece.data(), piece.size());
    });
  }
  return {out.finish(), size};
}

FileDigest write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                             const Metadata& metadata) {
  return atomic_write(path, [&](FileWriter& out) { write_safetensors(out, tensors, metadata); });
}

}  // namespace rt::io
