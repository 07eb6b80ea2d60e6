#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/data/tokenizer.h"

namespace rt::data {

// How a conversation becomes text.
//   Rwkv    "User: ...\n\nAssistant: ...\n\n", "System: ...\n\n" (RWKV World; reference rwkv.md). A
//           blank line ends a turn, so those inside a message become one newline, and its ends are stripped.
//   ChatMl  "<|im_start|>role\n...<|im_end|>\n", messages as they are.
enum class ChatTemplate : std::uint8_t { Rwkv, ChatMl };

struct ChatMessage {
  std::string role, content;
};

// A stretch of text that is trained on, or only read. The answers are trained on, up to and with what ends
// them; a prompt ends exactly where one ends at inference ("Assistant:", "<|im_start|>assistant\n").
struct ChatPiece {
  std::string text;
  bool trained = false;
};

// The messages of a line {"messages": [{"role": ..., "content": ...}, ...]} or {"prompt": ..., "response":
// ...}. Empty when it is neither: `why` then says what is wrong.
std::vector<ChatMessage> parse_chat(std::string_view line, std::string& why);
// Alternating pieces, one conversation after its template. Empty, with `why`, when it cannot be trained on.
std::vector<ChatPiece> chat_pieces(ChatTemplate form, std::span<const ChatMessage> messages,
                                   std::string& why);
// Appends their ids and, for each id, 1 when it is trained on, else 0. Every piece is encoded by itself, as
// at inference, where the prompt is encoded before the answer is known.
void encode_pieces(const Tokenizer& tokenizer, std::span<const ChatPiece> pieces,
                   std::vector<std::int32_t>& ids, std::vector<std::uint8_t>& trained);

}  // namespace rt::data
