#include "data/sentencepiece_tokenizer.h"

#include <charconv>

#include "data/base64.h"
#include "data/json.h"
#include "data/token_table.h"
#include "rt/core/error.h"

#ifdef RT_WITH_SENTENCEPIECE
#include <sentencepiece_processor.h>
#endif

namespace rt::data {

#ifdef RT_WITH_SENTENCEPIECE
namespace {

constexpr std::string_view kBlank = "\xE2\x96\x81";  // U+2581 stands for a blank in pieces

std::string bytes_of(const sentencepiece::SentencePieceProcessor& model, int id) {
  if (model.IsControl(id) || model.IsUnused(id)) return {};
  if (model.IsUnknown(id)) return " \xE2\x81\x87 ";  // as the library writes it
  std::string piece = model.IdToPiece(id);
  if (model.IsByte(id)) {  // "<0xAB>"
    unsigned value = 0;
    std::from_chars(piece.data() + 3, piece.data() + 5, value, 16);
    return std::string(1, static_cast<char>(value));
  }
  for (std::size_t at = 0; (at = piece.find(kBlank, at)) != std::string::npos;)
    piece.replace(at, kBlank.size(), 1, ' ');
  return piece;
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view model, std::string_view where) : serialized_(model) {
    const auto status = model_.LoadFromSerializedProto(serialized_);
    if (!status.ok()) fail(Exit::Data, "{}: is no SentencePiece model: {}", where, status.error_message());
    std::vector<std::string> tokens;
    for (int id = 0; id < model_.GetPieceSize(); ++id) tokens.push_back(bytes_of(model_, id));
    tokens_ = std::make_unique<TokenTable>(tokens);
  }
  std::string_view type() const override { return "sentencepiece"; }
  std::int64_t vocab_size() const override { return tokens_->size(); }
  std::string to_json() const override {
    nlohmann::ordered_json json;
    json["type"] = "sentencepiece";
    json["model"] = base64_encode(serialized_);
    return json_text(json);
  }
  std::size_t encode_some(std::string_view text, bool last, std::uint64_t base,
                          std::vector<std::int32_t>& out) const override {
    if (!last || text.empty()) return 0;
    std::vector<int> ids;
    const auto status = model_.Encode({text.data(), text.size()}, &ids);
    if (!status.ok())
      fail(Exit::Data, "the text at byte {} cannot be encoded: {}", base, status.error_message());
    out.insert(out.end(), ids.begin(), ids.end());
    return text.size();
  }
  std::string_view decode_bytes(std::int32_t id) const override {
    if (id < 0 || id >= vocab_size()) fail_token_id(id, vocab_size(), type());
    return (*tokens_)[id];
  }

 private:
  std::string serialized_;
  sentencepiece::SentencePieceProcessor model_;
  std::unique_ptr<TokenTable> tokens_;
};

}  // namespace

std::unique_ptr<Tokenizer> read_sentencepiece(std::string_view model, std::string_view where) {
  return std::make_unique<SentencePieceTokenizer>(model, where);
}
#else
std::unique_ptr<Tokenizer> read_sentencepiece(std::string_view, std::string_view where) {
  fail(Exit::Config,
       "{}: for SentencePiece models this program needs its library; install libsentencepiece-dev and build "
       "again",
       where);
}
#endif

std::unique_ptr<Tokenizer> sentencepiece_from_json(const nlohmann::json& json, std::string_view where) {
  std::string model;
  const auto found = json.find("model");
  if (found == json.end() || !found->is_string() ||
      !base64_decode(found->get_ref<const std::string&>(), model)) {
    fail(Exit::Data, "{}: a sentencepiece tokenizer needs its \"model\" in base64", where);
  }
  return read_sentencepiece(model, where);
}

}  // namespace rt::data
