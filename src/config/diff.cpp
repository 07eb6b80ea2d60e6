#include "config/schema.h"

namespace rt::config {
namespace {

constexpr std::string_view kUnset = "(unset)";

bool same_shape(const Node& a, const Node& b) {
  return a.kind == b.kind &&
         (a.kind == Node::Kind::Map || (a.kind == Node::Kind::List && a.items.size() == b.items.size()));
}

bool scalars_only(const Node& list) {
  for (const Node& item : list.items) {
    if (item.kind == Node::Kind::List || item.kind == Node::Kind::Map) return false;
  }
  return true;
}

void compare(const Node* stored, const Node* now, const std::string& path, std::vector<ConfigChange>& out) {
  const Node& any = now != nullptr ? *now : *stored;
  const bool descend = stored != nullptr && now != nullptr && same_shape(*stored, *now) &&
                       !(any.kind == Node::Kind::List && scalars_only(any));
  if (!descend) {
    ConfigChange change{path, std::string(kUnset), std::string(kUnset), any.change};
    if (stored != nullptr) change.from = emit_flow(*stored);
    if (now != nullptr) change.to = emit_flow(*now);
    if (change.from != change.to) out.push_back(std::move(change));
    return;
  }
  if (any.kind == Node::Kind::List) {
    for (std::size_t i = 0; i < any.items.size(); ++i) {
      compare(&stored->items[i], &now->items[i], join(path, std::to_string(i)), out);
    }
    return;
  }
  for (const Node& entry : now->items) compare(stored->find(entry.key), &entry, join(path, entry.key), out);
  for (const Node& entry : stored->items) {
    if (now->find(entry.key) == nullptr) compare(&entry, nullptr, join(path, entry.key), out);
  }
}

std::string_view consequence(ChangeClass kind) {
  switch (kind) {
    case ChangeClass::Harmless: return "does not disturb the run";
    case ChangeClass::Lr: return "changes the optimizer's updates";
    case ChangeClass::Schedule: return "changes the learning-rate curve";
    case ChangeClass::Data: return "changes sample order";
    case ChangeClass::Batch: return "changes the batch of every step";
    case ChangeClass::Budget: return "changes the run's length and schedules that span it";
    case ChangeClass::Model: return "makes it another model";
  }
  return "";
}

}  // namespace

std::string_view to_string(ChangeClass kind) {
  if (kind == ChangeClass::Harmless) return "harmless";
  if (kind == ChangeClass::Model) return "model";
  for (const auto& [known, name] : kNames<ChangeClass>) {
    if (known == kind) return name;
  }
  return "?";
}

std::string_view to_string(TokenizerType type) {
  for (const auto& [known, name] : kNames<TokenizerType>) {
    if (known == type) return name;
  }
  return "?";
}

std::vector<ConfigChange> diff(const RunConfig& stored, const RunConfig& now) {
  std::vector<ConfigChange> out;
  const Node before = write_config(stored), after = write_config(now);
  compare(&before, &after, "", out);
  return out;
}

std::string describe(const ConfigChange& change) {
  return rt::format("{} {} -> {} {}", change.path, change.from, change.to, consequence(change.kind));
}

}  // namespace rt::config
