#include "config/schema.h"

namespace rt::config {
namespace {

struct InitFrom {
  std::string from;
};
void visit(Section& s, InitFrom& v) { s.key("from", v.from, {.required = "runs/other/checkpoints/last"}); }

// A config with one entry in every list and a value in every optional, so that writing it shows every key.
RunConfig exemplar() {
  RunConfig c;
  c.model.init.from = "x";
  c.data.train = {TrainSource{"x", Stories{}, 1.0, 1.0}};
  c.data.valid = {ValidSource{"x", "x", 0.1, Stories{}, 1}};
  c.data.seq_len.parts = {SeqLenPart{1, 1}, SeqLenPart{{}, 1}};
  c.eval.tasks = {TaskSection{TaskName::Lambada, "x", 1}};
  c.optimizer.groups = {ParamGroup{"x", 1.0, 0.1}};
  return c;
}

void collect_homes(const Node& node, const std::string& path,
                   std::map<std::string, std::vector<std::string>>& homes) {
  for (const Node& item : node.items) {
    if (node.kind == Node::Kind::List) {
      collect_homes(item, path, homes);  // an entry of data.train belongs under data.train
      continue;
    }
    homes[item.key].push_back(path);
    collect_homes(item, join(path, item.key), homes);
  }
}

}  // namespace

void Codec<ModelInit>::read(const Node& in, const std::string& path, Places& places, ModelInit& init,
                            const KeyOptions& options) {
  init = {};
  if (in.kind == Node::Kind::Scalar && in.text == "arch") return;
  if (in.kind != Node::Kind::Map) fail_type(in, path, "an initialisation", "arch or {from: path}", "null");
  InitFrom from;
  Codec<InitFrom>::read(in, path, places, from, options);
  init.from = from.from;
}

Node Codec<ModelInit>::write(const ModelInit& init, ChangeClass change, const KeyOptions& options) {
  if (!init.from) return Node::scalar("arch");
  return Codec<InitFrom>::write({*init.from}, change, options);
}

void Codec<SeqLen>::read(const Node& in, const std::string& path, Places& places, SeqLen& value,
                         const KeyOptions& options) {
  if (in.kind == Node::Kind::List)
    return Codec<decltype(value.parts)>::read(in, path, places, value.parts, options);
  std::int64_t length = 0;
  Codec<std::int64_t>::read(in, path, places, length, options);
  value = length;
}

Node Codec<SeqLen>::write(const SeqLen& value, ChangeClass change, const KeyOptions& options) {
  if (value.parts.size() == 1 && !value.parts[0].until) {
    return Codec<std::int64_t>::write(value, change, options);
  }
  return Codec<decltype(value.parts)>::write(value.parts, change, options);
}

std::map<std::string, std::vector<std::string>> homes_of_keys() {
  std::map<std::string, std::vector<std::string>> homes;
  collect_homes(write_config(exemplar()), "", homes);
  return homes;
}

RunConfig read_config(const Node& root, Places& places) {
  RunConfig config;
  Codec<RunConfig>::read(root, "", places, config, {});
  places.refuse_missing();
  return config;
}

Node write_config(const RunConfig& config) {
  return Codec<RunConfig>::write(config, ChangeClass::Harmless, {});
}

}  // namespace rt::config
