#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <map>
#include <set>

#include "tests/io/checkpoint_support.h"

// What a crash, a full disk or a failing one may do to checkpoints, at every
// system call of a save.
namespace rt::io::test {
namespace {

using testing::Fault;
using testing::FileEvent;
using testing::FileOp;

// What a trainer does at a checkpoint: save, then prune. Step 20 replaces an
// existing one in some scenarios.
struct Scenario {
  const char* name;
  std::uint64_t step;
  bool can_exchange;
};
constexpr Scenario kScenarios[] = {
    {"new", 30, true}, {"replace", 20, true}, {"replace without exchange", 20, false}};

constexpr int kSalt = 9;
constexpr Retention kKeepOne{.last = 1, .every_steps = 0, .steps = {}};

void prepare(const fs::path& root) {
  save_checkpoint(root, 10, 1);
  save_checkpoint(root, 20, 2);
}

Fault without_exchange(const Scenario& s, const FileEvent& e) {
  return {.error = !s.can_exchange && e.op == FileOp::Exchange && !e.done ? EINVAL : 0};
}

void save_and_prune(const fs::path& root, const Scenario& s) {
  save_checkpoint(root, s.step, kSalt);
  prune_checkpoints(root, kKeepOne);
}

std::vector<FileEvent> events_of(const Scenario& s) {
  TempDir dir;
  prepare(dir.path());
  std::vector<FileEvent> events;
  const HookGuard hook([&](const FileEvent& e) {
    events.push_back(e);
    return without_exchange(s, e);
  });
  save_and_prune(dir.path(), s);
  return events;
}

// Loads what a restarted run would load: never damaged, never older than what
// was there before.
int salt_after_restart(const fs::path& root) {
  const auto good = newest_good_checkpoint(root);
  EXPECT_TRUE(good);
  EXPECT_FALSE(fs::exists(root / "quarantine"));
  return good ? read_checkpoint(good->dir) : -2;
}

// Runs save_and_prune in a child that SIGKILLs itself at the given event.
void killed_at(const fs::path& root, const Scenario& s, std::size_t at) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::size_t seen = 0;
    testing::set_fault_hook([&](const FileEvent& e) {
      if (seen++ == at) raise(SIGKILL);
      return without_exchange(s, e);
    });
    save_and_prune(root, s);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "event " << at << " was not reached";
}

TEST(CheckpointFault, KilledAtEveryPointOfASave) {
  for (const auto& s : kScenarios) {
    SCOPED_TRACE(s.name);
    TempDir source;
    prepare(source.path());
    const auto events = events_of(s);
    EXPECT_GT(events.size(), 20u);
    std::set<int> found;
    for (std::size_t at = 0; at < events.size(); ++at) {
      SCOPED_TRACE("event " + std::to_string(at) + " on " + events[at].path.filename().string());
      TempDir dir;
      fs::copy(source.path(), dir.path(), fs::copy_options::recursive);
      killed_at(dir.path(), s, at);
      const int salt = salt_after_restart(dir.path());
      EXPECT_TRUE(salt == 2 || salt == kSalt) << salt;
      found.insert(salt);
      if (at % 8 == 0) {  // and the run goes on
        save_checkpoint(dir.path(), 40, 4);
        prune_checkpoints(dir.path(), kKeepOne);
        EXPECT_EQ(salt_after_restart(dir.path()), 4);
        EXPECT_EQ(steps_of(list_checkpoints(dir.path())), std::vector<std::uint64_t>{40});
      }
    }
    EXPECT_EQ(found, (std::set<int>{2, kSalt}));  // both sides of the commit were met
  }
}

TEST(CheckpointFault, ErrorsAtEveryPointOfASave) {
  for (const auto& s : kScenarios) {
    SCOPED_TRACE(s.name);
    TempDir source;
    prepare(source.path());
    const auto events = events_of(s);
    for (std::size_t at = 0; at < events.size(); ++at) {
      if (events[at].done || (events[at].op == FileOp::Exchange && !s.can_exchange)) continue;
      SCOPED_TRACE("event " + std::to_string(at) + " on " + events[at].path.filename().string());
      TempDir dir;
      fs::copy(source.path(), dir.path(), fs::copy_options::recursive);
      std::size_t seen = 0;
      bool fails = true;
      {
        const HookGuard hook([&](const FileEvent& e) {
          return seen++ == at ? Fault{.error = at % 2 == 0 ? ENOSPC : EIO} : without_exchange(s, e);
        });
        try {
          save_and_prune(dir.path(), s);
          fails = false;
        } catch (const Error& e) {
          EXPECT_EQ(e.code(), Exit::Checkpoint);
          EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
          EXPECT_NE(std::string(e.what()).find(dir.path().string()), std::string::npos) << e.what();
        }
      }
      EXPECT_TRUE(fails);
      const int salt = salt_after_restart(dir.path());
      EXPECT_TRUE(salt == 2 || salt == kSalt) << salt;
      // Unless removing is what failed, nothing of a failed save takes up the
      // disk.
      if (events[at].op != FileOp::Remove && salt == 2) {
        EXPECT_TRUE(partial_checkpoints(dir.path()).empty());
        EXPECT_EQ(steps_of(list_checkpoints(dir.path())), (std::vector<std::uint64_t>{10, 20}));
      }
    }
  }
}

TEST(CheckpointFault, DiskFillsUpAfterEveryNumberOfBytes) {
  TempDir source;
  prepare(source.path());
  for (std::size_t room = 0; room < 4500; room += 97) {
    TempDir dir;
    fs::copy(source.path(), dir.path(), fs::copy_options::recursive);
    std::size_t left = room;
    const HookGuard hook([&](const FileEvent& e) -> Fault {
      if (e.op != FileOp::Write) return {};
      if (e.done) {
        left -= e.bytes;
        return {};
      }
      return {.error = left == 0 ? ENOSPC : 0, .max_bytes = std::max<std::size_t>(left, 1)};
    });
    std::string what;
    try {
      save_checkpoint(dir.path(), 30, kSalt);
    } catch (const Error& e) { what = e.what(); }
    if (what.empty()) {
      EXPECT_EQ(salt_after_restart(dir.path()), kSalt);
      EXPECT_GT(room, 2500u);
      continue;
    }
    EXPECT_NE(what.find("no space left on device"), std::string::npos) << what;
    EXPECT_EQ(salt_after_restart(dir.path()), 2);
    EXPECT_TRUE(partial_checkpoints(dir.path()).empty());
  }
}

TEST(CheckpointFault, EverythingIsSyncedBeforeItGetsItsName) {
  for (const auto& s : kScenarios) {
    SCOPED_TRACE(s.name);
    std::map<fs::path, bool> dirty;  // files with unsynced data, directories with unsynced names
    bool committed = false;
    for (const auto& e : events_of(s)) {
      const bool commits = !e.done &&
                           (e.op == FileOp::Rename || (e.op == FileOp::Exchange && s.can_exchange)) &&
                           e.path.filename() == checkpoint_name(s.step);
      if (commits) {
        for (const auto& [path, unsynced] : dirty) {
          if (path != e.path.parent_path()) { EXPECT_FALSE(unsynced) << path; }
        }
        committed = true;
      }
      if (!e.done) continue;
      if (e.op == FileOp::Open) dirty[e.path] = dirty[e.path.parent_path()] = true;
      if (e.op == FileOp::Write) dirty[e.path] = true;
      if (e.op == FileOp::Sync) dirty[e.path] = false;
      if (e.op == FileOp::Rename || e.op == FileOp::Exchange) dirty[e.path.parent_path()] = true;
      // A checkpoint is renamed before it is deleted, and deleted after what replaces it is on disk.
      if (e.op == FileOp::Remove) {
        EXPECT_TRUE(e.path.extension() == ".tmp" || e.path.string().find("/.trash") != std::string::npos)
            << e.path;
      }
      if (e.op == FileOp::Remove && committed) {
        for (const auto& [path, unsynced] : dirty)
          EXPECT_FALSE(unsynced) << path << " before removing " << e.path;
      }
    }
    EXPECT_TRUE(committed);
    for (const auto& [path, unsynced] : dirty) EXPECT_FALSE(unsynced) << path;
  }
}

}  // namespace
}  // namespace rt::io::test
