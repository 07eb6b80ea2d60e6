#include "data/byte_source.h"

#include "tests/data/prepare_test_util.h"

namespace rt::data {
namespace {
namespace fs = std::filesystem;

InputFile input(const fs::path& path, Compression compression) {
  return {path, false, compression, fs::file_size(path)};
}

std::string read_all(ByteSource& source, std::size_t step) {
  std::string all, part(step, '\0');
  for (std::size_t got = step; got == step;) {
    got = source.read(part.data(), step);
    all.append(part, 0, got);
  }
  EXPECT_EQ(source.read(part.data(), step), 0u);  // the end stays the end
  return all;
}

struct Packer {
  Compression compression;
  std::string (*pack)(std::string_view);
  const char* name;
};
const Packer kPackers[] = {{Compression::Gzip, gzip, "gzip"}, {Compression::Zstd, zstd, "zstd"}};

TEST(ByteSource, UnpacksInStepsOfAnySize) {
  const TempDir tmp;
  const std::string text = odd_text(1, 700'001);
  write_file(tmp / "plain", text);
  EXPECT_EQ(read_all(*open_bytes(input(tmp / "plain", Compression::None)), 4093), text);
  for (const Packer& p : kPackers) {
    write_file(tmp / p.name, p.pack(text));
    for (const std::size_t step : {1u, 63u, 65536u, 1u << 20}) {
      const auto source = open_bytes(input(tmp / p.name, p.compression));
      EXPECT_EQ(read_all(*source, step), text) << p.name << " " << step;
      EXPECT_EQ(source->consumed(), fs::file_size(tmp / p.name));
    }
  }
}

TEST(ByteSource, SkipGoesToTheSameByte) {
  const TempDir tmp;
  const std::string text = odd_text(2, 600'000);
  write_file(tmp / "plain", text);
  for (const Packer& p : kPackers) write_file(tmp / p.name, p.pack(text));
  for (const std::size_t at : {std::size_t{0}, std::size_t{1}, std::size_t{262'145}, text.size()}) {
    const auto plain = open_bytes(input(tmp / "plain", Compression::None));
    plain->skip(at);
    EXPECT_EQ(read_all(*plain, 1000), text.substr(at));
    for (const Packer& p : kPackers) {
      const auto source = open_bytes(input(tmp / p.name, p.compression));
      source->skip(at);
      EXPECT_EQ(read_all(*source, 1000), text.substr(at)) << p.name;
    }
  }
}

TEST(ByteSource, SeveralMembersAreOneText) {
  const TempDir tmp;
  for (const Packer& p : kPackers) {
    write_file(tmp / p.name, p.pack("one ") + p.pack("") + p.pack("two"));
    EXPECT_EQ(read_all(*open_bytes(input(tmp / p.name, p.compression)), 2), "one two") << p.name;
  }
  write_file(tmp / "padded", gzip("text") + std::string(1000, '\0'));
  EXPECT_EQ(read_all(*open_bytes(input(tmp / "padded", Compression::Gzip)), 100), "text");
}

// A file cut anywhere is refused with the byte at which it stops.
TEST(ByteSource, TruncatedFilesSayWhere) {
  const TempDir tmp;
  for (const Packer& p : kPackers) {
    const std::string packed = p.pack(odd_text(3, 5000));
    for (std::size_t n = 0; n < packed.size(); n += n < 40 || n + 40 > packed.size() ? 1 : 17) {
      write_file(tmp / p.name, packed.substr(0, n));
      const auto source = open_bytes(input(tmp / p.name, p.compression));
      const std::string what = error_of([&] { read_all(*source, 700); });
      expect_contains(what, std::string(p.name) + ": truncated: the " + p.name +
                                " data stops in the middle, at byte " + std::to_string(n) + ";");
    }
  }
}

// Whatever byte is damaged: the text is whole, or there is an error with the path. (Some bytes of a header,
// such as gzip's time, mean nothing for the text.)
TEST(ByteSource, DamagedFilesNeverGiveOtherText) {
  const TempDir tmp;
  const std::string text = odd_text(4, 3000);
  for (const Packer& p : kPackers) {
    const std::string packed = p.pack(text);
    std::size_t refused = 0;
    for (std::size_t at = 0; at < packed.size(); ++at) {
      std::string damaged = packed;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x24);
      write_file(tmp / p.name, damaged);
      try {
        EXPECT_EQ(read_all(*open_bytes(input(tmp / p.name, p.compression)), 512), text)
            << p.name << " " << at;
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Exit::Data);
        expect_contains(e.what(), (tmp / p.name).string() + ": ");
        ++refused;
      }
    }
    EXPECT_GT(refused, packed.size() - 12) << p.name;
  }
  write_file(tmp / "text", "no gzip at all");
  expect_contains(error_of([&] { read_all(*open_bytes(input(tmp / "text", Compression::Gzip)), 9); }),
                  "text: corrupt gzip data at byte ");
  write_file(tmp / "behind", gzip("text") + "junk");
  expect_contains(error_of([&] { read_all(*open_bytes(input(tmp / "behind", Compression::Gzip)), 9); }),
                  "incorrect header check");
}

TEST(ByteSource, AFileThatChangesIsRefused) {
  const TempDir tmp;
  write_file(tmp / "a", "12345");
  InputFile file = input(tmp / "a", Compression::None);
  for (const std::uint64_t listed : {4u, 6u}) {
    file.bytes = listed;
    expect_contains(error_of([&] { read_all(*open_bytes(file), 9); }),
                    "a: is no longer the " + std::to_string(listed) + " bytes");
  }
  expect_contains(error_of([&] { open_bytes(file)->skip(7); }), "no longer");
  fs::remove(tmp / "a");
  expect_contains(error_of([&] { open_bytes(file); }), "a: cannot open: No such file");
}

}  // namespace
}  // namespace rt::data
