#include "rt/dist/rendezvous.h"

#include <algorithm>
#include <thread>
#include <vector>

#include "dist/store_wire.h"
#include "rt/core/error.h"

namespace rt::dist {
namespace {

constexpr Milliseconds kLookEvery(50);

std::string to_text(const Member& m) {
  std::string out;
  wire::put_text(out, m.machine);
  for (const Facts* facts : {&m.same, &m.different}) {
    wire::put(out, static_cast<std::uint32_t>(facts->size()));
    for (const auto& [name, value] : *facts) {
      wire::put_text(out, name);
      wire::put_text(out, value);
    }
  }
  return out;
}

Member from_text(std::string_view text) {
  Member m;
  bool whole = wire::take_text(text, m.machine);
  for (Facts* facts : {&m.same, &m.different}) {
    std::uint32_t n = 0;
    whole = whole && wire::take(text, n);
    for (std::string name, value; whole && n > 0; --n) {
      whole = wire::take_text(text, name) && wire::take_text(text, value);
      (*facts)[name] = value;
    }
  }
  if (!whole) fail(Exit::Peer, "store: a process joined with damaged words");
  return m;
}

std::string key_of(int rank) { return "join/" + std::to_string(rank); }

std::string ranks_on(const std::vector<int>& ranks, const std::vector<Member>& members) {
  std::string text = (ranks.size() == 1 ? "rank " : "ranks ") + ranges(ranks);
  return text + " (" + members[static_cast<std::size_t>(ranks.front())].machine +
         (ranks.size() > 1 ? ", ...)" : ")");
}

// Those that do not say what rank 0 says.
void expect_the_same(const std::vector<Member>& members) {
  for (const auto& [name, value] : members.front().same) {
    std::vector<int> others;
    std::string said;
    for (std::size_t r = 0; r < members.size(); ++r) {
      const auto found = members[r].same.find(name);
      const std::string& theirs = found == members[r].same.end() ? std::string() : found->second;
      if (theirs == value) continue;
      if (others.empty()) said = theirs;
      others.push_back(static_cast<int>(r));
    }
    if (others.empty()) continue;
    fail(Exit::Config, "{} differs: rank 0 ({}) has {}, {} {}. All processes of a run need the same.", name,
         members.front().machine, value, ranks_on(others, members),
         said.empty() ? "have none" : "have " + said);
  }
}

void expect_different(const std::vector<Member>& members) {
  std::map<std::pair<std::string, std::string>, int> seen;
  for (std::size_t r = 0; r < members.size(); ++r) {
    for (const auto& [name, value] : members[r].different) {
      const auto [at, fresh] = seen.emplace(std::pair(name, value), static_cast<int>(r));
      if (fresh) continue;
      fail(Exit::Config,
           "ranks {} and {} on {} both use {} {}. Give each process its own: one task per GPU, or "
           "CUDA_VISIBLE_DEVICES.",
           at->second, r, members[r].machine, name, value);
    }
  }
}

}  // namespace

std::string ranges(std::span<const int> ranks) {
  std::string text;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t end = i + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1) ++end;
    text += (text.empty() ? "" : ", ") + std::to_string(ranks[i]);
    if (end > i + 1) text += "-" + std::to_string(ranks[end - 1]);
    i = end;
  }
  return text;
}

void join(Store& store, const Launch& launch, const Member& me, Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  if (!store.set_if_absent(key_of(launch.rank), to_text(me))) {
    const Member other = from_text(store.get(key_of(launch.rank)).value_or(to_text(me)));
    fail(Exit::Config, "two processes are rank {} of {} (from {}): on {} and on {}. Start each rank once.",
         launch.rank, launch.world, launch.source, other.machine, me.machine);
  }
  std::vector<int> missing;
  std::vector<Member> members(static_cast<std::size_t>(launch.world));
  for (;;) {
    const auto found = store.list("join/");
    missing.clear();
    for (int r = 0; r < launch.world; ++r) {
      const auto at = found.find(key_of(r));
      if (at == found.end()) {
        missing.push_back(r);
      } else {
        members[static_cast<std::size_t>(r)] = from_text(at->second);
      }
    }
    if (missing.empty()) break;
    if (std::chrono::steady_clock::now() >= deadline) {
      fail(Exit::Peer,
           "waited {} s for {} ranks at {}; have {}. Missing: {}. Source of the world size: {}. Check "
           "that their machines can reach {}.",
           std::chrono::duration_cast<std::chrono::seconds>(timeout).count(), launch.world, store.address(),
           launch.world - static_cast<int>(missing.size()), ranges(missing), launch.source, store.address());
    }
    std::this_thread::sleep_for(kLookEvery);
  }
  expect_the_same(members);
  expect_different(members);
}

}  // namespace rt::dist
