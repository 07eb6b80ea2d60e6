#include <algorithm>

#include "io/pickle_machine.h"
#include "io/text.h"

// The part of the pickle machine that knows PyTorch: torch/_utils.py, torch/serialization.py (persistent_id).
namespace rt::io::pickle {
namespace {

struct TorchType {
  std::string_view storage, dtype;
  FileDType type;
};
constexpr TorchType kTypes[] = {
    {"FloatStorage", "float32", FileDType::F32}, {"BFloat16Storage", "bfloat16", FileDType::BF16},
    {"HalfStorage", "float16", FileDType::F16},  {"DoubleStorage", "float64", FileDType::F64},
    {"LongStorage", "int64", FileDType::I64},    {"IntStorage", "int32", FileDType::I32},
    {"ShortStorage", "int16", FileDType::I16},   {"CharStorage", "int8", FileDType::I8},
    {"ByteStorage", "uint8", FileDType::U8},     {"BoolStorage", "bool", FileDType::Bool},
};

std::optional<Value> find_global(std::string_view module, std::string_view name) {
  Value v(Kind::Global);
  if (module == "collections" && name == "OrderedDict") return v.global = Global::OrderedDict, v;
  if (module == "torch._utils" && name == "_rebuild_tensor_v2") return v.global = Global::RebuildTensor, v;
  if (module == "torch._utils" && name == "_rebuild_parameter") return v.global = Global::RebuildParameter, v;
  if (module == "torch.storage" && name == "UntypedStorage") return v.global = Global::UntypedStorage, v;
  if (module != "torch") return std::nullopt;
  for (const auto& t : kTypes) {
    if (name != t.storage && name != t.dtype) continue;
    v.global = name == t.storage ? Global::TypedStorage : Global::DType;
    v.dtype = t.type;
    return v;
  }
  return std::nullopt;
}

}  // namespace

bool Machine::object(std::uint8_t op) {
  switch (op) {
    case 'c': global(); return true;         // GLOBAL
    case 'Q': persistent_id(); return true;  // BINPERSID
    case 'R': reduce(); return true;         // REDUCE
    case 'b': {                              // BUILD: attributes of an OrderedDict (_metadata), not needed
      pop();
      if (values_[top()].kind != Kind::Dict) bad("builds something that is not a dict");
      return true;
    }
    default: return false;
  }
}

void Machine::global() {
  const auto module = take_line();
  const auto name = take_line();
  auto found = find_global(module, name);
  if (!found) {
    bad("global " + shown(std::string(module) + "." + std::string(name)) +
        " is not allowed: not a plain dict of tensors. Save with torch.save(model.state_dict(), path).");
  }
  push(std::move(*found));
}

// ('storage', <type>, '<key>', '<location>', <elements>)
void Machine::persistent_id() {
  constexpr std::size_t kMaxKey = 64;  // keys are short numbers; each storage copies its own
  const auto& id = values_[pop()];
  if (id.kind != Kind::Tuple || id.items.size() != 5) bad("a persistent id that is not a storage");
  const auto& tag = values_[id.items[0]];
  const auto& type = values_[id.items[1]];
  const auto& key = values_[id.items[2]];
  const auto& count = values_[id.items[4]];
  if (tag.kind != Kind::Text || tag.text != "storage" || key.kind != Kind::Text ||
      key.text.size() > kMaxKey || count.kind != Kind::Int || count.integer < 0 ||
      type.kind != Kind::Global) {
    bad("a persistent id that is not a storage");
  }
  if (type.global != Global::TypedStorage) bad("a storage without an element type");
  Value v(Kind::Storage);
  v.dtype = type.dtype;
  v.text = key.text;
  v.integer = count.integer;
  push(std::move(v));
}

void Machine::reduce() {
  const Value arguments = values_[pop()];
  const Value function = values_[pop()];
  if (arguments.kind != Kind::Tuple || function.kind != Kind::Global)
    bad("calls something that is not a function");
  switch (function.global) {
    case Global::OrderedDict:
      if (!arguments.items.empty()) bad("an OrderedDict with arguments");
      push(Value(Kind::Dict));
      return;
    case Global::RebuildTensor: rebuild_tensor(arguments); return;
    case Global::RebuildParameter:
      if (arguments.items.size() != 3 || values_[arguments.items[0]].kind != Kind::Tensor) {
        bad("a parameter that does not wrap a tensor");
      }
      push(arguments.items[0]);
      return;
    default: bad("calls a type");
  }
}

// (storage, offset, size, stride, requires_grad, backward_hooks[, metadata])
void Machine::rebuild_tensor(const Value& arguments) {
  const auto& a = arguments.items;
  const auto is_extents = [&](Ref r) {
    const auto& v = values_[r];
    return v.kind == Kind::Tuple && v.items.size() <= Shape::kMaxRank &&
           std::all_of(v.items.begin(), v.items.end(),
                       [&](Ref i) { return values_[i].kind == Kind::Int && values_[i].integer >= 0; });
  };
  if ((a.size() != 6 && a.size() != 7) || values_[a[0]].kind != Kind::Storage ||
      values_[a[1]].kind != Kind::Int || values_[a[1]].integer < 0 || !is_extents(a[2]) ||
      !is_extents(a[3]) || values_[a[2]].items.size() != values_[a[3]].items.size()) {
    bad("a tensor with malformed arguments, or of more than 6 dimensions");
  }
  Value v(Kind::Tensor);
  v.items = {a[0], a[1], a[2], a[3]};
  push(std::move(v));
}

}  // namespace rt::io::pickle
