// rwkv data encode, rwkv data decode.
#include <charconv>
#include <cstdio>

#include "apps/data.h"
#include "apps/model_options.h"

namespace rt {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;

std::unique_ptr<data::Tokenizer> chosen(const std::string& name) {
  if (name == "chars") {
    fail(Exit::Config, "--tokenizer: chars needs its alphabet. Name a tokenizer.json or a token directory.");
  }
  return open_tokenizer(name);
}

// Appends up to `n` bytes of stdin; false at its end.
bool read_more(std::string& text, std::size_t n) {
  const std::size_t before = text.size();
  text.resize(before + n);
  text.resize(before + std::fread(text.data() + before, 1, n, stdin));
  if (std::ferror(stdin)) fail(Exit::Data, "stdin: cannot be read.");
  return text.size() == before + n;
}

void put(std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    fail(Exit::Failure, "stdout: cannot be written.");
  }
  text.clear();
}

void append_ids(const std::vector<std::int32_t>& ids, bool& first, std::string& out) {
  char digits[16];
  for (const std::int32_t id : ids) {
    if (!first) out.push_back(' ');
    first = false;
    out.append(digits, std::to_chars(digits, digits + sizeof(digits), id).ptr);
  }
}

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Decodes the ids that end inside `text` (all of them when `last`) and takes them off it.
void decode_ids(const data::Tokenizer& tokenizer, bool last, std::string& text, std::uint64_t& read,
                std::string& out) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    while (at < end && is_blank(*at)) ++at;
    const char* stop = at;
    while (stop < end && !is_blank(*stop)) ++stop;
    if (at == end || (stop == end && !last && stop - at < 16)) break;
    std::int32_t id = 0;
    const auto [parsed, error] = std::from_chars(at, stop, id);
    if (error != std::errc() || parsed != stop) {
      fail(Exit::Data, "stdin: what follows the first {} ids is not a token id.", read);
    }
    out += tokenizer.decode_bytes(id);
    ++read;
    at = stop;
  }
  text.erase(0, static_cast<std::size_t>(at - text.data()));
}

constexpr char kTokenizerHelp[] =
    "bytes, a tokenizer file, or a directory with one: a model, a checkpoint, token data";

}  // namespace

int data_encode_main(int argc, char** argv) {
  std::string name;
  Options options("rwkv data encode", "Turns bytes on stdin into token ids on stdout, separated by blanks.");
  options.text("--tokenizer", name, kTokenizerHelp, Options::Need::Required);
  if (!options.parse(argc, argv)) return 0;
  const auto tokenizer = chosen(name);
  std::string text, out;
  std::vector<std::int32_t> ids;
  std::uint64_t base = 0;
  bool more = true, first = true;
  for (std::size_t want = kPiece; more;) {
    more = read_more(text, want);
    ids.clear();
    const std::size_t taken = tokenizer->encode_some(text, !more, base, ids);
    append_ids(ids, first, out);
    put(out);
    base += taken;
    text.erase(0, taken);
    want = std::max(kPiece, text.size());  // doubles while nothing is certain
  }
  put(out += '\n');
  return 0;
}

int data_decode_main(int argc, char** argv) {
  std::string name;
  Options options("rwkv data decode", "Turns token ids on stdin into bytes on stdout.");
  options.text("--tokenizer", name, kTokenizerHelp, Options::Need::Required);
  if (!options.parse(argc, argv)) return 0;
  const auto tokenizer = chosen(name);
  std::string text, out;
  std::uint64_t read = 0;
  for (bool more = true; more;) {
    more = read_more(text, kPiece);
    decode_ids(*tokenizer, !more, text, read, out);
    put(out);
  }
  return 0;
}

}  // namespace rt
