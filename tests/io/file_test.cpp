#include <cerrno>

#include "tests/io/support.h"

namespace rt::io::test {
namespace {

using testing::FileEvent;
using testing::FileOp;

TEST(File, AtomicWriteReplacesAndLeavesNothingElse) {
  TempDir dir;
  atomic_write(dir / "a", "first");
  atomic_write(dir / "a", "second");
  EXPECT_EQ(slurp(dir / "a"), "second");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
}

TEST(File, ProducerThatThrowsKeepsTheOldFile) {
  TempDir dir;
  atomic_write(dir / "a", "old");
  EXPECT_THROW(atomic_write(dir / "a",
                            [](FileWriter& out) {
                              out.write("half");
                              throw std::runtime_error("stop");
                            }),
               std::runtime_error);
  EXPECT_EQ(slurp(dir / "a"), "old");
  EXPECT_FALSE(fs::exists(dir / "a.tmp"));
}

// Published test vectors of XXH3-64 with seed 0: the empty input, and "abc".
TEST(File, DigestIsXxh3) {
  TempDir dir;
  spill(dir / "empty", "");
  EXPECT_EQ(digest_file(dir / "empty").xxh3, 0x2d06800538d394c2u);
  spill(dir / "abc", "abc");
  EXPECT_EQ(digest_file(dir / "abc").xxh3, 0x78af5f94892f3950u);
}

TEST(File, DigestOfBlocksIsTheSameWrittenInAnyPieces) {
  TempDir dir;
  std::string content(2 * kDigestBlockBytes + 12345, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 2654435761u >> 13);
  const auto write_in = [&](std::size_t piece) {
    FileWriter out(dir / "f");
    for (std::size_t at = 0; at < content.size(); at += piece)
      out.write(std::string_view(content).substr(at, piece));
    return out.finish();
  };
  const auto whole = write_in(content.size());
  EXPECT_EQ(whole.size, content.size());
  ASSERT_EQ(whole.blocks.size(), 3u);
  EXPECT_EQ(whole.blocks[2], xxh3(std::as_bytes(std::span(content)).subspan(2 * kDigestBlockBytes)));
  EXPECT_EQ(whole.xxh3, xxh3(std::as_bytes(std::span(content))));
  EXPECT_EQ(write_in(70001), whole);
  EXPECT_EQ(write_in((std::size_t{1} << 20) - 1), whole);
  EXPECT_EQ(digest_file(dir / "f"), whole);
}

TEST(File, ShortWritesAreContinued) {
  TempDir dir;
  const HookGuard hook([](const FileEvent&) { return testing::Fault{.error = 0, .max_bytes = 7}; });
  atomic_write(dir / "a", "a text that takes several writes of seven bytes");
  EXPECT_EQ(slurp(dir / "a"), "a text that takes several writes of seven bytes");
}

TEST(File, EveryFailingOperationKeepsTheOldFileAndNoTemporary) {
  for (const auto op : {FileOp::Open, FileOp::Write, FileOp::Sync, FileOp::Close, FileOp::Rename}) {
    TempDir dir;
    atomic_write(dir / "a", "old");
    {
      const HookGuard hook(
          [&](const FileEvent& e) { return testing::Fault{.error = e.op == op && !e.done ? ENOSPC : 0}; });
      expect_error(Exit::Checkpoint, [&] { atomic_write(dir / "a", "new"); },
                   {(dir / "a").string(), "no space left on device", "MiB free"});
    }
    EXPECT_EQ(slurp(dir / "a"), "old");
    EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
  }
}

TEST(File, ErrorsNameThePath) {
  TempDir dir;
  expect_error(Exit::Checkpoint, [&] { atomic_write(dir / "no/such", "x"); },
               {"no/such", "cannot create", "No such"});
  expect_error(Exit::Checkpoint, [&] { digest_file(dir / "missing"); }, {"missing", "cannot open"});
  expect_error(Exit::Checkpoint, [&] { read_text(dir.path()); }, {dir.path().string(), "read failed"});
  spill(dir / "long", "12345678");
  EXPECT_EQ(read_text(dir / "long", 8), "12345678");
  expect_error(Exit::Checkpoint, [&] { read_text(dir / "long", 7); }, {"larger than 7 bytes"});
}

TEST(File, FreeDiskBytesOfADirectoryThatDoesNotExistYet) {
  TempDir dir;
  const auto here = free_disk_bytes(dir.path());
  EXPECT_GT(here, 0u);
  const auto there = free_disk_bytes(dir / "a/b/c");
  EXPECT_LT(there > here ? there - here : here - there, std::uint64_t{1} << 30);
}

}  // namespace
}  // namespace rt::io::test
