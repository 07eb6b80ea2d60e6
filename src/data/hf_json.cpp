#include "data/hf_json.h"

#include <unordered_map>

#include "data/bpe_tokenizer.h"
#include "data/json.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

using Json = nlohmann::json;
constexpr std::int64_t kMaxId = std::int64_t{1} << 24;

// Reads one file; every refusal names the place in it.
class Reader {
 public:
  Reader(const Json& json, std::string_view where) : json_(json), where_(where) {}

  BpeSpec read() {
    BpeSpec spec;
    spec.type = "hf_json";
    read_vocabulary(spec);
    read_merges(spec);
    read_added(spec);
    read_normalizer(json_.value("normalizer", Json()), spec);
    read_pre_tokenizer(json_.value("pre_tokenizer", Json()), spec);
    return spec;
  }

 private:
  template <class... Args>
  [[noreturn]] void refuse(std::string_view pattern, const Args&... args) const {
    fail(Exit::Data, "{}: {}", where_, format(pattern, args...));
  }
  [[noreturn]] void unsupported(std::string_view place, const std::string& what) const {
    refuse("{} {} is not supported (byte-level BPE is); use another tokenizer or convert the text", place,
           what);
  }

  void set_token(BpeSpec& spec, const std::string& text, const Json& id) const {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= kMaxId) {
      refuse("token {} has no id in [0, {})", json_text(Json(text)), kMaxId);
    }
    const auto i = id.get<std::size_t>();
    if (i >= spec.tokens.size()) spec.tokens.resize(i + 1);
    spec.tokens[i] = text;
  }

  void read_vocabulary(BpeSpec& spec) {
    const Json& model = json_.at("model");
    const std::string type = model.value("type", "BPE");
    if (type != "BPE") unsupported("model.type", type);
    if (model.value("byte_fallback", false)) unsupported("model.byte_fallback", "true");
    for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json value = model.value(key, Json());
      if (!value.is_null() && value != "" && value != 0.0)
        unsupported(std::string("model.") + key, json_text(value));
    }
    spec.whole_first = model.value("ignore_merges", false);
    for (const auto& [text, id] : model.at("vocab").items()) {
      if (text.empty()) refuse("model.vocab: a token is empty");
      std::string bytes;
      // What is no byte-level text stands for itself.
      set_token(spec, byte_level_decode(text, bytes) ? bytes : text, id);
      ids_[text] = id.get<std::int32_t>();
    }
    if (ids_.empty()) refuse("model.vocab is empty");
  }

  std::int32_t id_of(const std::string& text, std::size_t merge) const {
    const auto found = ids_.find(text);
    if (found == ids_.end())
      refuse("model.merges.{}: {} is not in the vocabulary", merge, json_text(Json(text)));
    return found->second;
  }

  // "a b", or since 2024 ["a", "b"].
  void read_merges(BpeSpec& spec) const {
    const Json& merges = json_.at("model").at("merges");
    for (std::size_t i = 0; i < merges.size(); ++i) {
      const Json& merge = merges[i];
      std::string left, right;
      if (merge.is_array() && merge.size() == 2) {
        left = merge[0].get<std::string>();
        right = merge[1].get<std::string>();
      } else {
        const auto text = merge.get<std::string>();
        const std::size_t blank = text.find(' ');
        if (blank == std::string::npos || text.find(' ', blank + 1) != std::string::npos) {
          refuse("model.merges.{}: {} is not a pair", i, json_text(merge));
        }
        left = text.substr(0, blank);
        right = text.substr(blank + 1);
      }
      const std::int32_t result = id_of(left + right, i);
      spec.merges.push_back({id_of(left, i), id_of(right, i), result, static_cast<std::uint32_t>(i)});
    }
  }

  void read_added(BpeSpec& spec) const {
    for (const Json& entry : json_.value("added_tokens", Json::array())) {
      AddedToken token;
      token.content = entry.at("content").get<std::string>();
      if (token.content.empty()) continue;  // as Hugging Face does
      set_token(spec, token.content, entry.at("id"));
      token.id = entry.at("id").get<std::int32_t>();
      token.lstrip = entry.value("lstrip", false);
      token.rstrip = entry.value("rstrip", false);
      token.single_word = entry.value("single_word", false);
      token.normalized = entry.value("normalized", !entry.value("special", false));
      spec.added.push_back(std::move(token));
    }
  }

  void read_normalizer(const Json& json, BpeSpec& spec) const {
    if (json.is_null()) return;
    const auto type = json.at("type").get<std::string>();
    if (type == "NFC") {
      spec.nfc = true;
    } else if (type == "Sequence") {
      for (const Json& step : json.at("normalizers")) read_normalizer(step, spec);
    } else {
      unsupported("normalizer", type);
    }
  }

  void read_pre_tokenizer(const Json& json, BpeSpec& spec) const {
    bool byte_level = false;
    std::vector<std::unique_ptr<Splitter>> steps;
    const bool sequence = json.is_object() && json.value("type", "") == "Sequence";
    for (const Json& step : sequence ? json.at("pretokenizers") : Json::array({json})) {
      if (byte_level) unsupported("pre_tokenizer", "ByteLevel before others");
      const std::string type = step.is_object() ? step.at("type").get<std::string>() : "null";
      if (type == "ByteLevel") {
        byte_level = true;
        spec.prefix_blank = step.value("add_prefix_space", true);
        if (step.value("use_regex", true)) steps.push_back(make_splitter(kGpt2Pattern, where_));
      } else if (type == "Split") {
        steps.push_back(split_step(step));
      } else if (type == "Digits" && step.value("individual_digits", false)) {
        steps.push_back(make_digit_splitter());
      } else {
        unsupported("pre_tokenizer", type);
      }
    }
    if (!byte_level) unsupported("pre_tokenizer", "without ByteLevel");
    if (spec.prefix_blank && sequence)
      unsupported("pre_tokenizer", "ByteLevel with add_prefix_space after others");
    spec.splitter = steps.size() == 1 ? std::move(steps[0]) : make_sequence(std::move(steps));
  }

  std::unique_ptr<Splitter> split_step(const Json& step) const {
    const Json& pattern = step.at("pattern");
    const auto behavior = step.at("behavior").get<std::string>();
    const bool invert = step.value("invert", false);
    // Removing what lies between matches of a pattern that matches everything removes nothing.
    const bool isolated = behavior == "Isolated" && !invert;
    if (!isolated && !(behavior == "Removed" && invert)) {
      unsupported("pre_tokenizer Split with behavior", behavior + (invert ? ", inverted" : ""));
    }
    if (!pattern.contains("Regex")) unsupported("pre_tokenizer Split by", json_text(pattern));
    auto splitter = make_splitter(pattern.at("Regex").get<std::string>(), where_);
    if (!isolated && splitter->cut() != Splitter::Cut::Words) {
      unsupported("pre_tokenizer Split with behavior", "Removed of an unknown pattern");
    }
    return splitter;
  }

  const Json& json_;
  std::string where_;
  std::unordered_map<std::string, std::int32_t> ids_;  // of the vocabulary, by its own spelling
};

}  // namespace

std::unique_ptr<Tokenizer> hf_from_json(nlohmann::json json, std::string_view where) {
  try {
    BpeSpec spec = Reader(json, where).read();
    json["truncation"] = json["padding"] = nullptr;
    spec.json = json_text(json);
    return make_bpe_tokenizer(std::move(spec));
  } catch (const nlohmann::json::exception& e) {
    fail(Exit::Data, "{}: not a tokenizer.json of Hugging Face: {}", where, e.what());
  }
}

}  // namespace rt::data
