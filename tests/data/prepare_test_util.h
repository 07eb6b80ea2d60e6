#pragma once
#include <zlib.h>
#include <zstd.h>

#include <map>
#include <string>
#include <string_view>

#include "rt/core/rng.h"
#include "tests/data/data_test_util.h"

namespace rt::data {

// Every file of a directory, by name.
inline std::map<std::string, std::string> files_of(const std::filesystem::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    files[entry.path().filename().string()] = read_text(entry.path());
  }
  return files;
}

inline std::string gzip(std::string_view text) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(::deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

inline std::string zstd(std::string_view text) {
  ZSTD_CCtx* context = ::ZSTD_createCCtx();
  ::ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string out(::ZSTD_compressBound(text.size()), '\0');
  out.resize(::ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size()));
  ::ZSTD_freeCCtx(context);
  return out;
}

// `bytes` of words, lines, separator lines ("---") and characters of several bytes; equal seeds, equal text.
inline std::string odd_text(std::uint64_t seed, std::size_t bytes) {
  static constexpr std::string_view kWords[] = {"word", " and ", "\n",       "\n---\n",
                                                "---",  "\r\n",  "\xC3\xA9", "\xF0\x9F\x98\x80",
                                                "\n\n", "x",     "--- ",     "\n---\r\n"};
  const Rng rng{seed, 3};
  std::string text;
  for (std::uint64_t i = 0; text.size() < bytes; ++i) text += kWords[rng.below(i, std::size(kWords))];
  return text;
}

inline std::string json_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += c;
    }
  }
  return out;
}

// JSON lines of documents of 0 to `longest` bytes; one in 18 lines is a bad one, one in 36 is blank.
inline std::string odd_jsonl(std::uint64_t seed, std::size_t lines, std::size_t longest) {
  static constexpr std::string_view kBad[] = {"{",  "[1]", "{\"body\": 1}", "{\"text\": \"\\ud800\"}",
                                              "\r", ""};
  const Rng rng{seed, 4};
  std::string out;
  for (std::uint64_t i = 0; i < lines; ++i) {
    if (rng.below(2 * i, 12) == 0) {
      out += std::string(kBad[rng.below(2 * i + 1, std::size(kBad))]) + "\n";
    } else {
      const std::string text = odd_text(seed + i, rng.below(2 * i + 1, longest));
      out += "{\"id\": 1.5, \"text\": \"" + json_escaped(text) + "\"}\n";
    }
  }
  return out;
}

// A directory with every kind of input in it, about 400 kB, and documents on both sides of every size that
// matters when a block is 2 kB and a whole document 8.
inline void write_odd_inputs(const std::filesystem::path& dir) {
  write_file(dir / "a.jsonl", "\xEF\xBB\xBF" + odd_jsonl(1, 300, 300));
  write_file(dir / "b.jsonl.gz", gzip(odd_jsonl(2, 300, 300)));
  write_file(dir / "c.jsonl.zst", zstd(odd_jsonl(3, 20, 15'000) + "{\"text\": \"no line end\"}"));
  write_file(dir / "d.txt", odd_text(4, 40'000));
  write_file(dir / "e.txt.gz", gzip(odd_text(5, 20'000)));
  write_file(dir / "empty.txt", "");
  write_file(dir / "empty.jsonl.zst", zstd(""));
  std::string emoji = "abc";  // cut in the middle of characters wherever it is cut at a round number
  while (emoji.size() < 40'000) emoji += "\xF0\x9F\x98\x80";
  write_file(dir / "long.md", emoji + "\n---\nbehind\n");
  for (int i = 0; i < 30; ++i) {
    write_file(dir / "many" / (std::to_string(i) + ".txt"),
               odd_text(100 + static_cast<std::uint64_t>(i), 50));
  }
}

}  // namespace rt::data
