#include "rt/data/token_writer.h"

#include <signal.h>
#include <sys/wait.h>

#include "rt/data/token_set.h"
#include "tests/data/token_set_util.h"

namespace rt::data {
namespace {
namespace fs = std::filesystem;

TEST(TokenSetWriter, RefusesTokensOutsideTheVocabulary) {
  const TempDir tmp;
  TokenSetWriter writer(tmp / "set", *make_byte_tokenizer(), {});
  EXPECT_THROW(writer.append(std::vector<std::int32_t>{256}), Error);
  EXPECT_THROW(writer.append(std::vector<std::int32_t>{-1}), Error);
}

TEST(TokenSetWriter, NothingAppearsBeforeFinishAndNothingStaysWithoutIt) {
  const TempDir tmp;
  {
    TokenSetWriter writer(tmp / "set", *make_byte_tokenizer(), {.shard_tokens = 2});
    writer.append(std::vector<std::int32_t>{1, 2, 3});
    EXPECT_FALSE(fs::exists(tmp / "set"));
    EXPECT_TRUE(fs::exists(tmp / "set.partial"));
    error_of([&] { TokenSetWriter second(tmp / "set", *make_byte_tokenizer(), {}); });
  }
  EXPECT_TRUE(fs::is_empty(tmp.path()));
}

TEST(TokenSetWriter, LeftoverOfAKilledRunIsIgnoredAndThrownAway) {
  const TempDir tmp;
  write_file(tmp / "set.partial" / "shard-00000.rtok", "half a shard");
  write_file(tmp / "set.partial" / "shard-00009.rtok", "from a larger run");
  write_file(tmp / "set.partial" / "index.json", "{");
  expect_contains(error_of([&] { TokenSet s(tmp / "set"); }), "not a token directory");
  write_set(tmp / "set", *make_byte_tokenizer(), {}, {10});
  TokenSet(tmp / "set").verify();
  EXPECT_FALSE(fs::exists(tmp / "set.partial"));
  EXPECT_EQ(std::distance(fs::directory_iterator(tmp / "set"), fs::directory_iterator()), 2);
}

// A process that dies in the middle, without a destructor running, leaves the old data as it was and no lock
// behind.
TEST(TokenSetWriter, AKilledProcessChangesNothing) {
  const TempDir tmp;
  const auto bytes = make_byte_tokenizer();
  write_set(tmp / "set", *bytes, {}, {10});
  const std::uint64_t before = TokenSet(tmp / "set").fingerprint();
  const pid_t child = ::fork();
  if (child == 0) {
    TokenSetWriter writer(tmp / "set", *bytes, {.shard_tokens = 2, .overwrite = true});
    writer.append(std::vector<std::int32_t>{1, 2, 3, 4, 5});
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(fs::exists(tmp / "set.partial" / "shard-00001.rtok"));
  EXPECT_EQ(TokenSet(tmp / "set").fingerprint(), before);
  TokenSet(tmp / "set").verify();
  write_set(tmp / "set", *bytes, {.overwrite = true}, {12});
  EXPECT_EQ(TokenSet(tmp / "set").size(), 12u);
  EXPECT_FALSE(fs::exists(tmp / "set.partial"));
}

TEST(TokenSetWriter, OverwriteOnlyWhenAskedAndOnlyTokenDirectories) {
  const TempDir tmp;
  const auto bytes = make_byte_tokenizer();
  write_set(tmp / "set", *bytes, {}, {10});
  expect_contains(error_of([&] { TokenSetWriter w(tmp / "set", *bytes, {}); }), "already");
  write_set(tmp / "set", *bytes, {.overwrite = true}, {11});
  EXPECT_EQ(TokenSet(tmp / "set").size(), 11u);
  EXPECT_EQ(std::distance(fs::directory_iterator(tmp.path()), fs::directory_iterator()), 1);
  write_file(tmp / "mine" / "thesis.txt", "x");
  error_of([&] { TokenSetWriter w(tmp / "mine", *bytes, {.overwrite = true}); });
  EXPECT_EQ(read_text(tmp / "mine" / "thesis.txt"), "x");
  fs::create_directories(tmp / "empty");
  write_set((tmp / "empty") / "", *bytes, {}, {3});
  EXPECT_EQ(TokenSet(tmp / "empty").size(), 3u);
}

}  // namespace
}  // namespace rt::data
