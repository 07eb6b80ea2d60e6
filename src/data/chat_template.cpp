#include "rt/data/chat_template.h"

#include "data/json.h"
#include "rt/core/error.h"

namespace rt::data {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

std::string text_of(const nlohmann::json& object, const char* key, const std::string& where,
                    std::string& why) {
  if (!object.contains(key)) {
    why = format("{}has no \"{}\"", where, key);
  } else if (!object[key].is_string()) {
    why = format("{}\"{}\" is a {}, not a string", where, key, object[key].type_name());
  } else {
    return object[key].get<std::string>();
  }
  return {};
}

// Ends stripped, lines ended by \n, and no blank lines.
std::string without_blank_lines(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  text = text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool return_of_line = text[i] == '\r' && text[i + 1] == '\n';  // the last character is not blank
    const bool again = text[i] == '\n' && !out.empty() && out.back() == '\n';
    if (!return_of_line && !again) out += text[i];
  }
  return out;
}

class Pieces {
 public:
  void add(std::string_view text, bool trained) {
    if (pieces_.empty() || pieces_.back().trained != trained) pieces_.push_back({{}, trained});
    pieces_.back().text += text;
  }
  std::vector<ChatPiece> take() { return std::move(pieces_); }

 private:
  std::vector<ChatPiece> pieces_;
};

bool add_rwkv(const ChatMessage& m, Pieces& out) {
  const std::string text = without_blank_lines(m.content);
  if (m.role == "assistant") {
    out.add("Assistant:", false);
    out.add(" " + text + "\n\n", true);
  } else if (m.role == "user" || m.role == "system") {
    out.add((m.role == "user" ? "User: " : "System: ") + text + "\n\n", false);
  } else {
    return false;
  }
  return true;
}

void add_chatml(const ChatMessage& m, Pieces& out) {
  const bool trained = m.role == "assistant";
  out.add("<|im_start|>" + m.role + "\n", false);
  out.add(m.content + "<|im_end|>", trained);
  out.add("\n", false);
}

}  // namespace

std::vector<ChatMessage> parse_chat(std::string_view line, std::string& why) {
  std::vector<ChatMessage> messages;
  nlohmann::json json;
  try {
    json = parse_json<nlohmann::json>(line);
  } catch (const nlohmann::json::parse_error& e) {
    why = format("not valid JSON near column {}", e.byte);
    return {};
  }
  if (json.is_object() && json.contains("messages") && json["messages"].is_array()) {
    for (const auto& m : json["messages"]) {
      const std::string where = format("message {} ", messages.size() + 1);
      if (!m.is_object()) why = where + "is not an object";
      if (why.empty()) messages.push_back({text_of(m, "role", where, why), {}});
      if (why.empty()) messages.back().content = text_of(m, "content", where, why);
      if (!why.empty()) return {};
    }
    if (messages.empty()) why = "has no messages";
  } else if (json.is_object() && json.contains("prompt")) {
    messages = {{"user", text_of(json, "prompt", "", why)}, {"assistant", {}}};
    if (why.empty()) messages[1].content = text_of(json, "response", "", why);
  } else {
    why = "is no conversation: no array \"messages\", no \"prompt\" and \"response\"";
  }
  if (!why.empty()) messages.clear();
  return messages;
}

std::vector<ChatPiece> chat_pieces(ChatTemplate form, std::span<const ChatMessage> messages,
                                   std::string& why) {
  Pieces out;
  bool answered = false;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& m = messages[i];
    if (m.content.find_first_not_of(kBlank) == std::string::npos) {
      why = format("message {} is empty", i + 1);
      return {};
    }
    if (form == ChatTemplate::ChatMl) {
      add_chatml(m, out);
    } else if (!add_rwkv(m, out)) {
      why =
          format("message {} is of role \"{}\"; the template has system, user and assistant", i + 1, m.role);
      return {};
    }
    answered = answered || m.role == "assistant";
  }
  if (!answered) {
    why = "has no message of role assistant: nothing to train on";
    return {};
  }
  return out.take();
}

void encode_pieces(const Tokenizer& tokenizer, std::span<const ChatPiece> pieces,
                   std::vector<std::int32_t>& ids, std::vector<std::uint8_t>& trained) {
  for (const ChatPiece& piece : pieces) {
    const std::vector<std::int32_t> here = tokenizer.encode(piece.text);
    ids.insert(ids.end(), here.begin(), here.end());
    trained.resize(ids.size(), piece.trained ? 1 : 0);
  }
}

}  // namespace rt::data
