#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "data/output_file.h"
#include "rt/data/prepare.h"
#include "rt/data/token_set.h"
#include "tests/data/prepare_test_util.h"

// What a kill, a full disk or a stop may do to a prepare at every system call that changes the disk: the run
// after it ends with the bytes of one that was left alone.
namespace rt::data {
namespace {
namespace fs = std::filesystem;
using testing::DiskOp;

class HookGuard {
 public:
  explicit HookGuard(testing::DiskHook hook) { testing::set_disk_hook(std::move(hook)); }
  ~HookGuard() { testing::set_disk_hook({}); }
};

class PrepareResume : public ::testing::Test {
 protected:
  PrepareResume() {
    write_odd_inputs(tmp_ / "in");
    options_.separator = "---";
    options_.threads = 2;
    options_.block_bytes = 2048;
    options_.whole_document = 8192;
    options_.writer.shard_tokens = 20'001;
    options_.note = [this](const std::string& line) { notes_.push_back(line); };
  }

  PrepareReport run(const std::string& out) { return prepare({tmp_ / "in"}, tmp_ / out, type_, options_); }

  std::vector<std::string> events() {
    std::vector<std::string> seen;
    const HookGuard hook([&](DiskOp op, const fs::path& path, std::size_t&) {
      seen.push_back(std::to_string(static_cast<int>(op)) + " " + path.filename().string());
      return 0;
    });
    report_ = run("undisturbed");
    return seen;
  }

  // Runs in a child that dies when it is about to do the disk operation `at`.
  void kill_at(std::size_t at) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      std::size_t seen = 0;
      testing::set_disk_hook([&](DiskOp, const fs::path&, std::size_t&) {
        if (seen++ == at) raise(SIGKILL);
        return 0;
      });
      run("out");
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        << "operation " << at << " was not reached";
  }

  void expect_undisturbed() {
    const PrepareReport report = run("out");
    EXPECT_TRUE(files_of(tmp_ / "out") == files_of(tmp_ / "undisturbed"));
    EXPECT_EQ(report.tokens, report_.tokens);
    EXPECT_EQ(report.documents, report_.documents);
    EXPECT_EQ(report.empty_documents, report_.empty_documents);
    EXPECT_EQ(report.bad_lines, report_.bad_lines);
    ASSERT_EQ(report.first_bad_lines.size(), report_.first_bad_lines.size());
    for (std::size_t i = 0; i < report.first_bad_lines.size(); ++i) {
      EXPECT_EQ(report.first_bad_lines[i].where, report_.first_bad_lines[i].where);
      EXPECT_EQ(report.first_bad_lines[i].why, report_.first_bad_lines[i].why);
    }
    EXPECT_FALSE(fs::exists(tmp_ / "out.partial"));
    resumed_ += report.resumed_tokens > 0;
  }

  void kill_at_each_of(const std::vector<std::string>& seen) {
    for (std::size_t at = 0; at < seen.size(); ++at) {
      SCOPED_TRACE("operation " + std::to_string(at) + ": " + seen[at]);
      kill_at(at);
      EXPECT_FALSE(fs::exists(tmp_ / "out"));
      expect_undisturbed();
      fs::remove_all(tmp_ / "out");
    }
  }

  TempDir tmp_;
  std::string type_ = "chars";
  PrepareOptions options_;
  PrepareReport report_;
  std::vector<std::string> notes_;
  int resumed_ = 0;
};

TEST_F(PrepareResume, KilledAtEveryDiskOperation) {
  const auto seen = events();
  ASSERT_GT(seen.size(), 60u);
  EXPECT_GT(report_.bad_lines, PrepareReport::kMaxListed);
  EXPECT_GT(report_.empty_documents, 10u);
  kill_at_each_of(seen);
  EXPECT_GT(resumed_, 40);
}

// Conversations: which tokens are trained on is kept shard by shard too.
TEST_F(PrepareResume, KilledAtEveryDiskOperationOfConversations) {
  type_ = "bytes";
  fs::remove_all(tmp_ / "in");
  const Rng rng{8, 8};
  std::string lines;
  for (std::uint64_t i = 0; i < 600; ++i) {
    const std::string asked(1 + rng.below(2 * i, 90), 'q'), answer(1 + rng.below(2 * i + 1, 90), 'a');
    lines += R"({"prompt": ")" + asked + R"(", "response": ")" + answer + "\"}\n";
    if (i % 50 == 7) lines += "{\"prompt\": 1}\n";
  }
  write_file(tmp_ / "in" / "chats.jsonl", lines);
  options_.chat = ChatTemplate::Rwkv;
  const auto seen = events();
  EXPECT_EQ(report_.bad_lines, 12u);
  ASSERT_GE(TokenSet(tmp_ / "undisturbed").shards().size(), 3u);
  const auto files = files_of(tmp_ / "undisturbed");
  EXPECT_TRUE(files.contains("loss_mask.rmask"));
  EXPECT_FALSE(files.contains("shard-00000.rtok.mask"));
  kill_at_each_of(seen);
  EXPECT_GT(resumed_, 15);
  // The mask of a shard that was damaged: that shard is made again.
  kill_at(seen.size() - 2);
  const fs::path mask = tmp_ / "out.partial" / "shard-00001.rtok.mask";
  patch_byte(mask, 5, static_cast<char>(read_text(mask)[5] ^ 1));
  notes_.clear();
  expect_undisturbed();
  expect_contains(notes_.at(0), "behind 1 finished shards");
}

// Killed again and again, with other numbers of threads.
TEST_F(PrepareResume, KilledManyTimesInARow) {
  const auto seen = events();
  std::size_t kills = 0;
  // Every run has time for one shard more: 5 operations of a new journal and one's own, 8 at most of a shard.
  for (const std::size_t at : {12u, 13u, 11u, 14u, 15u, 12u, 13u, 14u}) {
    options_.threads = 1 + static_cast<int>(kills % 3);
    kill_at(at);
    ++kills;
  }
  expect_undisturbed();
  EXPECT_EQ(resumed_, 1);
}

TEST_F(PrepareResume, DiskFullAtEveryWrite) {
  const auto seen = events();
  for (std::size_t at = 0; at < seen.size(); at += 3) {
    SCOPED_TRACE("operation " + std::to_string(at) + ": " + seen[at]);
    std::size_t count = 0;
    bool full = false;
    {
      const HookGuard hook([&](DiskOp op, const fs::path&, std::size_t& bytes) {
        full = full || (count++ >= at && op == DiskOp::Write);
        if (full && op == DiskOp::Write) return ENOSPC;
        bytes = std::min<std::size_t>(bytes, 10'000);  // writes may be short
        return 0;
      });
      const std::string what = error_of([&] { run("out"); });
      expect_contains(what, "out.partial/");
      expect_contains(what, "No space left on device; make room");
      if (fs::exists(tmp_ / "out.partial")) expect_contains(what, "finished shards are kept in ");
    }
    EXPECT_FALSE(fs::exists(tmp_ / "out"));
    expect_undisturbed();
    fs::remove_all(tmp_ / "out");
  }
  EXPECT_GT(resumed_, 10);
}

TEST_F(PrepareResume, StopsWhenAskedAndSaysHowToGoOn) {
  type_ = "bytes";
  events();
  for (int blocks = 0; blocks < 50; blocks += 7) {
    int asked = 0;
    options_.stop = [&] { return asked++ == blocks; };
    const std::string what = error_of([&] { run("out"); }, Exit::Interrupted);
    expect_contains(what, "stopped in " + (tmp_ / "in").string());
    expect_contains(what, fs::exists(tmp_ / "out.partial") ? "the same command goes on behind them"
                                                           : "the same command starts over");
    options_.stop = {};
    expect_undisturbed();
    fs::remove_all(tmp_ / "out");
  }
  EXPECT_GT(resumed_, 3);
}

TEST_F(PrepareResume, AnotherJobStartsOverAndSaysWhy) {
  type_ = "bytes";
  const auto seen = events();
  const auto leave_unfinished = [&] {
    notes_.clear();
    kill_at(seen.size() - 3);
    ASSERT_TRUE(fs::exists(tmp_ / "out.partial" / "shard-00003.rtok"));
  };
  leave_unfinished();
  expect_undisturbed();
  ASSERT_EQ(notes_.size(), 1u);
  expect_contains(notes_[0], "going on behind ");
  fs::remove_all(tmp_ / "out");

  leave_unfinished();
  options_.end_with_newline = false;
  EXPECT_EQ(run("out").resumed_tokens, 0u);
  ASSERT_EQ(notes_.size(), 1u);
  expect_contains(notes_[0], "starting over: the options changed since");
  fs::remove_all(tmp_ / "out");
  options_.end_with_newline = true;

  leave_unfinished();
  write_file(tmp_ / "in" / "z.txt", "more\n");
  EXPECT_EQ(run("out").resumed_tokens, 0u);
  expect_contains(notes_.at(0), "starting over: the inputs changed since");
  fs::remove_all(tmp_ / "out");

  leave_unfinished();
  const auto time = fs::last_write_time(tmp_ / "in" / "z.txt");
  fs::last_write_time(tmp_ / "in" / "z.txt", time + std::chrono::seconds(1));
  type_ = "chars";
  EXPECT_EQ(run("out").resumed_tokens, 0u);
  expect_contains(notes_.at(0), "starting over: the inputs and tokenizer changed since");
}

// Shards that are not what the journal says are written again, with all behind them.
TEST_F(PrepareResume, ADamagedShardIsWrittenAgain) {
  type_ = "bytes";
  const auto seen = events();
  kill_at(seen.size() - 3);
  const fs::path partial = tmp_ / "out.partial";
  ASSERT_TRUE(fs::exists(partial / "shard-00003.rtok"));
  patch_byte(partial / "shard-00002.rtok", fs::file_size(partial / "shard-00002.rtok") - 9, 'x');
  const std::uint64_t two_shards = 2 * options_.writer.shard_tokens;
  expect_undisturbed();
  expect_contains(notes_.at(0), "behind 2 finished shards, " + std::to_string(two_shards) + " tokens");
  fs::remove_all(tmp_ / "out");

  kill_at(seen.size() - 3);
  const std::string journal = read_text(partial / ".journal");
  patch_byte(partial / ".journal", journal.find("shard-00001"), 'X');
  notes_.clear();
  expect_undisturbed();
  expect_contains(notes_.at(0), "behind 1 finished shards");
}

}  // namespace
}  // namespace rt::data
