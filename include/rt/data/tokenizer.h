#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rt::data {

// Text to token ids in [0, vocab_size()) and back. Immutable and safe to share between threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string_view type() const = 0;  // "bytes" | "chars" | "rwkv_world" | ...
  virtual std::int64_t vocab_size() const = 0;
  // Appends the ids of a prefix of `text` to `out` and returns the length of that prefix in bytes: as much as
  // is certain whatever text may follow, all of it when `last`. Calls that each start where the one before
  // stopped give the ids of the whole text, so that a text of any length needs little memory; 0 means that
  // more of it must be shown. `base` is where the text starts in its file: it is added to the byte offsets in
  // error messages (Exit::Data), and to nothing else.
  virtual std::size_t encode_some(std::string_view text, bool last, std::uint64_t base,
                                  std::vector<std::int32_t>& out) const = 0;
  // The bytes of one token, alive as long as the tokenizer; none for an id that stands for no text.
  // Exit::Data when the id is outside the vocabulary.
  virtual std::string_view decode_bytes(std::int32_t id) const = 0;
  // All there is to know, canonical: equal tokenizers give equal text. See tokenizer_from_json.
  virtual std::string to_json() const = 0;

  std::uint64_t fingerprint() const;  // xxh3 of to_json(); computed once
  std::vector<std::int32_t> encode(std::string_view text) const;
  std::string decode(std::span<const std::int32_t> ids) const;

 private:
  mutable std::atomic<std::uint64_t> fingerprint_{0};  // 0: not computed yet
};

// The 256 bytes, id = byte: any input is representable.
std::unique_ptr<Tokenizer> make_byte_tokenizer();

// Collects the characters of a corpus. Invalid UTF-8 throws Exit::Data with the byte offset (plus `base`).
class CharVocabulary {
 public:
  // Returns how much it took: all of `text`, or unless `last` all but a character that is cut off by its end.
  std::size_t add(std::string_view text, bool last = true, std::uint64_t base = 0);
  std::size_t size() const { return codes_.size(); }
  // id = rank of the code point among those seen. Exit::Data when nothing was seen.
  std::unique_ptr<Tokenizer> build() const;

 private:
  std::set<char32_t> codes_;
};

// What to_json() gave. `where` (a file name) heads the error message.
std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json, std::string_view where);

// "bytes"; a file, told by what it holds: a tokenizer.json (ours or Hugging Face's), a vocabulary of RWKV
// World (rwkv_vocab_*.txt), ranks of tiktoken or a SentencePiece .model; or a directory with one, such as a
// checkpoint, a model in its official form or token data. Exit::Config when there is no such thing,
// Exit::Data when it is damaged.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& name);
// The tokenizer file in a directory; empty when there is none.
std::filesystem::path find_tokenizer(const std::filesystem::path& dir);

// Turns ids into printable text as they come: bytes of an unfinished UTF-8 sequence are held back until it is
// complete, and bytes that can never be valid come out as U+FFFD.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  std::string push(std::int32_t id);
  std::string finish();  // what is held back, as U+FFFD; ready for another text afterwards

 private:
  const Tokenizer* tokenizer_;
  std::string held_;  // at most 3 bytes between calls
};

}  // namespace rt::data
