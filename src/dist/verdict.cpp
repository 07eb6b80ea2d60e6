#include "dist/verdict.h"

#include <algorithm>

namespace rt::dist {
namespace {

constexpr std::size_t kMostNamed = 4;
constexpr std::int64_t kMostTimeouts = 10;

class Judge {
 public:
  explicit Judge(const Scene& scene) : s_(scene), mine_(scene.now.at(scene.me)) {
    silent_ = silent_ranks(scene);
    for (int r = 0; r < s_.world; ++r) {
      if (!s_.left.contains(r) && std::find(silent_.begin(), silent_.end(), r) == silent_.end())
        alive_.push_back(r);
    }
  }

  bool may_wait() const {
    if (!silent_.empty() || mine_.idle_ms > kMostTimeouts * mine_.limit_ms) return false;
    return std::any_of(alive_.begin(), alive_.end(),
                       [&](int r) { return r != s_.me && s_.now.at(r).idle_ms <= s_.now.at(r).limit_ms; });
  }

  std::string line() {
    std::string text = format("no progress for {} s ({}). ", mine_.idle_ms / 1000, usual());
    std::vector<int> rest = alive_;
    if (!silent_.empty()) {
      text += named(silent_, [&](int r) { return lost(r); });
    } else if (const std::vector<int> late = late_ones(); !late.empty()) {
      text += named(late, [&](int r) { return behind(r); });
      std::erase_if(rest, [&](int r) { return std::find(late.begin(), late.end(), r) != late.end(); });
    } else if (mine_.waits_in > 0) {
      text += "no rank is late: check the network between them; ";
    }
    text += groups(rest);
    if (text.ends_with("; ")) text.resize(text.size() - 2);
    return text + ".";
  }

 private:
  std::string usual() const {
    if (s_.median_ms == 0) return "no step has been measured";
    return format("median step {}.{} s", s_.median_ms / 1000, s_.median_ms % 1000 / 100);
  }

  std::vector<int> late_ones() const {
    std::uint64_t most = 0;
    bool some_wait = false;
    for (const int r : alive_) {
      most = std::max(most, s_.now.at(r).begun);
      some_wait = some_wait || s_.now.at(r).waits_in > 0;
    }
    std::vector<int> late;
    for (const int r : alive_) {
      const Report& report = s_.now.at(r);
      if (report.begun < most || (some_wait && report.waits_in == 0)) late.push_back(r);
    }
    std::stable_sort(late.begin(), late.end(),
                     [&](int a, int b) { return s_.now.at(a).begun < s_.now.at(b).begun; });
    return late;
  }

  std::string who(int r) const {
    const auto found = s_.now.find(r);
    return found == s_.now.end() ? format("rank {}", r) : format("rank {} ({})", r, found->second.place);
  }

  std::string lost(int r) const {
    const auto found = s_.now.find(r);
    if (found == s_.now.end()) return who(r) + " was never heard of";
    const Report& last = found->second;
    return format("{} does not answer (stopped, killed or cut off), last seen in {} at seq {}", who(r),
                  last.phase, last.begun);
  }

  std::string behind(int r) const {
    const Report& report = s_.now.at(r);
    if (report.waits_in > 0)
      return format("{} waits in {} seq {} since {} s", who(r), report.op, report.waits_in,
                    report.idle_ms / 1000);
    return format("{} is in {} since {} s at seq {}", who(r), report.phase, report.phase_ms / 1000,
                  report.begun);
  }

  template <class Describe>
  static std::string named(const std::vector<int>& ranks, const Describe& describe) {
    std::string text;
    for (std::size_t i = 0; i < std::min(ranks.size(), kMostNamed); ++i) text += describe(ranks[i]) + "; ";
    if (ranks.size() > kMostNamed) text += format("and {} more; ", ranks.size() - kMostNamed);
    return text;
  }

  // Those who wait for the late: "15 ranks wait in reduce_scatter seq 4122".
  std::string groups(const std::vector<int>& ranks) const {
    std::map<std::string, int> sizes;
    for (const int r : ranks) {
      const Report& report = s_.now.at(r);
      ++sizes[report.waits_in > 0 ? format("in {} seq {}", report.op, report.waits_in)
                                  : "in " + report.phase];
    }
    std::string text;
    for (const auto& [where, n] : sizes)
      text += format("{} {} {}; ", n, n == 1 ? "rank waits" : "ranks wait", where);
    return text;
  }

  const Scene& s_;
  const Report& mine_;
  std::vector<int> silent_, alive_;
};

}  // namespace

std::vector<int> silent_ranks(const Scene& s) {
  std::vector<int> silent;
  for (int r = 0; r < s.world; ++r) {
    if (s.left.contains(r)) continue;
    const auto before = s.before.find(r), now = s.now.find(r);
    if (now == s.now.end() ||
        (r != s.me && before != s.before.end() && before->second.beats == now->second.beats))
      silent.push_back(r);
  }
  return silent;
}

std::optional<std::string> find_late(const Scene& scene) {
  Judge judge(scene);
  if (judge.may_wait()) return std::nullopt;
  return judge.line();
}

}  // namespace rt::dist
