#include <fcntl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "tests/io/support.h"

namespace rt::io::test {
namespace {

using testing::FileEvent;
using testing::FileOp;

// On a disk, mostly: what is in memory has no page cache to go past.
struct DiskFile {
  explicit DiskFile(const std::string& name)
      : path(fs::temp_directory_path() / ("rt_io_" + name + "." + std::to_string(getpid()))) {
    fs::remove(path);
  }
  ~DiskFile() { fs::remove(path); }
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;
  fs::path path;
};

std::string content_of(std::size_t bytes) {
  std::string content(bytes, '\0');
  std::mt19937_64 random(7);
  for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(&content[i], &word, 8);
  }
  return content;
}

// Bytes [begin, end) of the content, cut into writes of about `piece`.
void write_cut(SharedFileWriter& out, const std::string& content, std::size_t begin, std::size_t end,
               std::size_t piece) {
  for (std::size_t at = begin; at < end; at += piece)
    out.write(at, content.data() + at, std::min(piece, end - at));
}

void expect_file(const fs::path& path, const std::string& content, std::vector<FilePiece> pieces) {
  EXPECT_TRUE(slurp(path) == content);
  for (const FilePiece& piece : pieces) EXPECT_LE(piece.end - piece.begin, kDigestBlockBytes);
  const FileDigest digest = digest_of(std::move(pieces), content.size(), path);
  EXPECT_EQ(digest_file(path, digest.ends), digest);
}

TEST(SharedFile, TwoWritersOfAnyPlacesMakeOneFile) {
  const std::string content = content_of(3 * kDigestBlockBytes + 4321);
  for (const std::size_t cut : {std::size_t{1}, std::size_t{4096}, 2 * kDigestBlockBytes - 5000,
                                kDigestBlockBytes + 100, content.size() - 1}) {
    for (const std::size_t piece : {std::size_t{70001}, std::size_t{4096}, content.size()}) {
      const DiskFile file("two_writers");
      SharedFileWriter first(file.path), second(file.path);
      write_cut(second, content, cut, content.size(), piece);
      write_cut(first, content, 0, cut, piece);
      auto pieces = second.finish();
      const auto more = first.finish();
      pieces.insert(pieces.end(), more.begin(), more.end());
      expect_file(file.path, content, std::move(pieces));
    }
  }
}

TEST(SharedFile, PlacesInAnyOrder) {
  const std::string content = content_of(2 * kDigestBlockBytes + 77);
  std::vector<std::size_t> order;
  for (std::size_t at = 0; at < content.size(); at += 50021) order.push_back(at);
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  const DiskFile file("any_order");
  SharedFileWriter out(file.path);
  for (const std::size_t at : order)
    out.write(at, content.data() + at, std::min<std::size_t>(50021, content.size() - at));
  expect_file(file.path, content, out.finish());
}

// 7 bytes are no block of a disk: the rest of the file goes through the page cache. Two pages are some.
TEST(SharedFile, ShortWritesAreContinued) {
  for (const std::size_t most : {std::size_t{1000007}, std::size_t{7}, std::size_t{8192}}) {
    const std::string content = content_of(most == 7 ? 30011 : kDigestBlockBytes + 30011);
    const DiskFile file("short_writes");
    const HookGuard hook([most](const FileEvent&) { return testing::Fault{.error = 0, .max_bytes = most}; });
    SharedFileWriter out(file.path);
    write_cut(out, content, 0, content.size(), 65537);
    expect_file(file.path, content, out.finish());
  }
}

TEST(SharedFile, EveryFailingOperationIsSaid) {
  const std::string content = content_of(100000);
  for (const auto op : {FileOp::Open, FileOp::Write, FileOp::Sync, FileOp::Close}) {
    const DiskFile file("failing");
    const HookGuard hook(
        [&](const FileEvent& e) { return testing::Fault{.error = e.op == op && !e.done ? ENOSPC : 0}; });
    expect_error(Exit::Checkpoint,
                 [&] {
                   SharedFileWriter out(file.path);
                   out.write(5000, content.data(), content.size());
                   out.finish();
                 },
                 {file.path.string(), "no space left on device"});
  }
}

TEST(SharedFile, WholePagesLeaveThePageCacheAlone) {
  constexpr long kTmpfs = 0x01021994;  // statfs(2)
  const std::string content = content_of(std::size_t{16} << 20);
  const DiskFile file("past_the_cache");
  const int fd = ::open(file.path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
  struct statfs disk {};
  if (fd < 0 || ::fstatfs(fd, &disk) != 0 || disk.f_type == kTmpfs) {
    if (fd >= 0) ::close(fd);
    GTEST_SKIP() << "no writes past the page cache in " << file.path.parent_path();
  }
  SharedFileWriter out(file.path);
  const std::size_t begin = 1000;  // as behind a header
  for (std::size_t at = 0; at < content.size(); at += 300000)
    out.write(begin + at, content.data() + at, std::min<std::size_t>(300000, content.size() - at));
  out.finish();
  void* map = ::mmap(nullptr, begin + content.size(), PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  ASSERT_NE(map, MAP_FAILED);
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident((begin + content.size() + page - 1) / page);
  ASSERT_EQ(::mincore(map, begin + content.size(), resident.data()), 0);
  const auto cached = std::count_if(resident.begin(), resident.end(), [](auto c) { return (c & 1) != 0; });
  ::munmap(map, begin + content.size());
  EXPECT_LE(cached, static_cast<std::ptrdiff_t>(resident.size() / 50));
}

}  // namespace
}  // namespace rt::io::test
