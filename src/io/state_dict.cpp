#include "rt/io/state_dict.h"

#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "io/text.h"
#include "rt/core/error.h"
#include "rt/io/archive.h"
#include "rt/io/checkpoint.h"

namespace rt::io {
namespace {
using Json = nlohmann::ordered_json;

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

Json to_json(const StateDict::Value& value) {
  return std::visit(Overloaded{
                        [](bool v) {
                          return Json{{"bool", v}};
                        },
                        [](std::int64_t v) {
                          return Json{{"i64", v}};
                        },
                        [](std::uint64_t v) {
                          return Json{{"u64", v}};
                        },
                        // The bits are the value; the number is for people, and null where JSON has none.
                        [](double v) {
                          return Json{{"f64", hex64(std::bit_cast<std::uint64_t>(v))}, {"is", v}};
                        },
                        [](const std::string& v) {
                          return Json{{"string", v}};
                        },
                        [](const TensorView& v) {
                          return Json{{"tensor", v.shape.to_string()}};
                        },
                    },
                    value);
}

// Nothing if the entry is none of the above.
std::optional<StateDict::Value> from_json(const std::string& name, const Json& entry,
                                          const TensorArchive& archive) {
  if (!entry.is_object() || entry.empty()) return std::nullopt;
  const auto& type = entry.begin().key();
  const Json& v = entry.begin().value();
  if (type == "tensor") return archive.tensor(name);
  if (type == "bool" && v.is_boolean()) return v.get<bool>();
  if (type == "i64" && v.is_number_integer()) return v.get<std::int64_t>();
  if (type == "u64" && v.is_number_unsigned()) return v.get<std::uint64_t>();
  if (type == "string" && v.is_string()) return v.get<std::string>();
  if (type == "f64" && v.is_string()) {
    if (const auto bits = parse_hex64(v.get_ref<const std::string&>())) return std::bit_cast<double>(*bits);
  }
  return std::nullopt;
}
}  // namespace

StateDict::StateDict() = default;
StateDict::StateDict(StateDict&&) noexcept = default;
StateDict& StateDict::operator=(StateDict&&) noexcept = default;
StateDict::~StateDict() = default;

void StateDict::set(std::string name, Value value) {
  RT_CHECK(index_.emplace(name, entries_.size()).second, "{}: {} is set twice", source_, shown(name));
  entries_.emplace_back(std::move(name), std::move(value));
}

bool StateDict::contains(std::string_view name) const { return index_.contains(std::string(name)); }

template <class T>
const T& StateDict::get(std::string_view name, const char* type) const {
  const auto found = index_.find(std::string(name));
  if (found == index_.end()) fail(Exit::Checkpoint, "{}: no entry {}", source_, shown(name));
  const auto* value = std::get_if<T>(&entries_[found->second].second);
  if (value == nullptr) fail(Exit::Checkpoint, "{}: entry {} is not a {}", source_, shown(name), type);
  return *value;
}

bool StateDict::get_bool(std::string_view name) const { return get<bool>(name, "bool"); }
std::int64_t StateDict::get_i64(std::string_view name) const { return get<std::int64_t>(name, "i64"); }
std::uint64_t StateDict::get_u64(std::string_view name) const { return get<std::uint64_t>(name, "u64"); }
double StateDict::get_f64(std::string_view name) const { return get<double>(name, "f64"); }
const std::string& StateDict::get_string(std::string_view name) const {
  return get<std::string>(name, "string");
}
const TensorView& StateDict::get_tensor(std::string_view name) const {
  return get<TensorView>(name, "tensor");
}

void StateDict::copy_tensor(std::string_view name, const TensorView& into) const {
  const auto& from = get_tensor(name);
  RT_CHECK(into.device == Device::cpu() && into.is_contiguous(),
           "copy_tensor \"{}\": needs contiguous host memory", name);
  if (from.shape != into.shape || from.dtype != into.dtype) {
    fail(Exit::Checkpoint, "{}: tensor {} is {} of {}, expected {} of {}", source_, shown(name), from.shape,
         rt::name(from.dtype), into.shape, rt::name(into.dtype));
  }
  RT_CHECK(from.is_contiguous(), "copy_tensor \"{}\": the source is not contiguous", name);
  if (from.nbytes() > 0) std::memcpy(into.data, from.data, from.nbytes());
}

void StateDict::save(CheckpointWriter& writer, const std::string& stem) const {
  Json values = Json::object();
  auto& object = values.get_ref<Json::object_t&>();  // appended to: ordered_json looks keys up linearly
  std::vector<NamedTensor> tensors;
  for (const auto& [name, value] : entries_) {
    object.push_back({name, to_json(value)});
    if (const auto* view = std::get_if<TensorView>(&value)) tensors.push_back({name, *view});
  }
  writer.tensors(stem + ".safetensors", tensors);
  try {
    writer.text(stem + ".json", values.dump(1) + "\n");
  } catch (const Json::exception&) { fail(Exit::Checkpoint, "{}.json: a name or a text is not UTF-8", stem); }
}

StateDict StateDict::load(const std::filesystem::path& dir, const std::string& stem) {
  StateDict out;
  const auto path = dir / (stem + ".json");
  out.source_ = path.string();
  out.archive_ = std::make_unique<TensorArchive>(open_safetensors(dir / (stem + ".safetensors")));
  const auto text = read_text(path);
  const auto values = Json::parse(text, nullptr, false);
  if (!values.is_object()) fail(Exit::Checkpoint, "{}: not a JSON object", path.string());
  for (const auto& [name, entry] : values.items()) {
    auto value = from_json(name, entry, *out.archive_);
    if (!value)
      fail(Exit::Checkpoint, "{}: entry {} has no known type and value", path.string(), shown(name));
    out.set(name, std::move(*value));
  }
  return out;
}

}  // namespace rt::io
