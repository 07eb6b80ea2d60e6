#include "config/section.h"

#include <algorithm>

namespace rt::config {

const Origin& Places::find(std::string path) const {
  for (;;) {
    const auto at = at_.find(path);
    if (at != at_.end()) return at->second;
    const auto dot = path.rfind('.');
    path.resize(dot == std::string::npos ? 0 : dot);
  }
}

void Places::refuse_missing() const {
  if (missing_.empty()) return;
  const auto& [path, example] = missing_.front();
  const auto dot = path.rfind('.');
  const std::string key = path.substr(dot == std::string::npos ? 0 : dot + 1);
  const std::string section = dot == std::string::npos ? "" : rt::format(" under {}", path.substr(0, dot));
  fail_at(find(path), path, "missing. Add{} e.g. \"{}: {}\"", section, key, example);
}

std::string_view kind_name(const Node& node) {
  switch (node.kind) {
    case Node::Kind::Null: return "empty";
    case Node::Kind::Scalar: return "a single value";
    case Node::Kind::List: return "a list";
    case Node::Kind::Map: return "a map";
  }
  return "?";
}

void fail_type(const Node& node, const std::string& path, std::string_view what, std::string_view use,
               std::string_view absent) {
  const std::string instead = absent == "null" ? "" : rt::format("{}, ", absent);
  if (node.kind == Node::Kind::Scalar) {
    constexpr std::size_t kShown = 60;
    const std::string text = node.text.size() <= kShown ? node.text : node.text.substr(0, kShown) + "...";
    fail_at(node.origin, path, "\"{}\" is not {}. Use {}{}", text, what, instead, use);
  }
  fail_at(node.origin, path, "is {}, not {}. Use {}{}", kind_name(node), what, instead, use);
}

Node Codec<std::string>::write(const std::string& value, ChangeClass, const KeyOptions&) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '/' || c == '.' || c == '-';
  };
  const bool word =
      !value.empty() && !(value[0] >= '0' && value[0] <= '9') && value[0] != '.' && value[0] != '-';
  const bool keyword = is_yaml_boolean(value) || value == "null" || value == "Null" || value == "NULL";
  return Node::scalar(value, !word || keyword || !std::all_of(value.begin(), value.end(), plain));
}

namespace {

// Edit distance in which swapping two neighbours is one edit.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t differs = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + differs});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

// The dotted path nearest to `key`: a key of this section, or what the key is called elsewhere.
std::string nearest(const std::string& key, const std::string& path,
                    const std::vector<std::string>& allowed) {
  std::size_t best = std::max<std::size_t>(1, key.size() / 3) + 1;
  std::string found;
  const auto consider = [&](std::string_view spelling, const std::string& target) {
    const std::size_t d = distance(key, spelling);
    if (d < best) {
      best = d;
      found = target;
    }
  };
  for (const std::string& name : allowed) consider(name, join(path, name));
  for (const auto& [spelling, target] : known_synonyms()) consider(spelling, std::string(target));
  return found;
}

std::string list_words(const std::vector<std::string>& words, std::string_view last_joint) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? last_joint : ", ";
    out += words[i];
  }
  return out;
}

}  // namespace

std::span<const std::pair<std::string_view, std::string_view>> known_synonyms() {
  static constexpr std::pair<std::string_view, std::string_view> kSynonyms[] = {
      {"learning_rate", "optimizer.lr"},
      {"max_lr", "optimizer.lr"},
      {"wd", "optimizer.weight_decay"},
      {"clip_grad_norm", "optimizer.grad_clip"},
      {"batch_size", "batch.global_tokens"},
      {"micro_batch_size", "batch.micro_sequences"},
      {"ctx_len", "data.seq_len"},
      {"context_length", "data.seq_len"},
      {"block_size", "data.seq_len"},
      {"n_layer", "model.layers"},
      {"num_layers", "model.layers"},
      {"n_embd", "model.width"},
      {"hidden_size", "model.width"},
      {"vocab_size", "model.vocab"},
      {"dim_ffn", "model.ffn_width"},
      {"max_steps", "budget.steps"},
      {"warmup_steps", "schedule.warmup"},
      {"lr_final", "schedule.final"},
      {"save_every", "checkpoint.every"},
      {"eval_interval", "eval.every"},
      {"log_interval", "log.every"},
      {"dtype", "precision.compute"},
      {"output_dir", "run.dir"},
      {"gradient_checkpointing", "parallel.recompute"}};
  return kSynonyms;
}

void refuse_unknown(const Node& map, const std::string& path, const std::vector<std::string>& allowed) {
  for (const Node& entry : map.items) {
    if (std::find(allowed.begin(), allowed.end(), entry.key) != allowed.end()) continue;
    const std::string full = join(path, entry.key);
    const auto homes = homes_of_keys();
    if (const auto home = homes.find(entry.key); home != homes.end()) {
      const std::string here = path.empty() ? "not a top-level key" : rt::format("not a key of {}", path);
      const bool top = home->second == std::vector<std::string>{""};
      const std::string there = top ? "at the top level" : "under " + list_words(home->second, " or ");
      fail_at(entry.origin, full, "{}; it belongs {}", here, there);
    }
    const std::string near = nearest(entry.key, path, allowed);
    const std::string hint = near.empty() ? "" : rt::format("Did you mean {}? ", near);
    fail_at(entry.origin, full, "unknown key. {}(allowed: {})", hint, list_words(allowed, ", "));
  }
}

}  // namespace rt::config
