#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/dist/communicator.h"
#include "rt/dist/session.h"

namespace rt {

// The processes of one run, as one of them sees it. Alone, everything here is free.
//
// They meet in a store before anything else, so that one can prepare what all then read; collectives are set
// up once all have found that they can train.
class Team {
 public:
  Team();  // alone
  // `build`: of the program, which has to be everyone's. The session must outlive it.
  Team(dist::Session& session, std::string build);

  const dist::Launch& launch() const { return launch_; }
  int rank() const { return launch_.rank; }
  int size() const { return launch_.world; }
  bool leads() const { return rank() == 0; }

  // Rank 0 does the work first, and then the others do theirs. Its error ends all.
  void lead(const std::string& what, const std::function<void()>& first,
            const std::function<void()>& then = {});
  // Rank 0's text, in every process.
  std::string tell(const std::string& what, const std::string& text);
  // Everyone's, by rank: all have come here. `what` is said once in a run. Not for what happens every step;
  // from any thread.
  std::vector<std::string> gather(const std::string& what, const std::string& text);

  // Where this process trains, when one alone would on `first`: each of a machine's has a GPU of its own.
  // Exit::Config when there are too few.
  Device device(Device first) const;
  // Expects all to agree in `same`, and to have a GPU each, then sets up collectives: NCCL between GPUs, Gloo
  // between CPUs. `slices`: how many ranks, which follow each other, share a sequence. Throws in all alike.
  void connect(dist::Facts same, Device device, int slices);
  // Of the device, by connect().
  static std::size_t device_bytes(Device device, int processes, int slices);
  // Of tensors on the device; and a second one, of the host, for decisions and checkpoints, which what
  // trains does not hold up.
  dist::Communicator& data() { return *data_; }
  dist::Communicator& context() { return *context_; }  // of those who share a sequence
  dist::Communicator& control() { return *control_; }
  bool any(bool mine);  // whether one of them says so
  int most(int mine);   // the highest of what they say
  // Sums of all processes' numbers, in their place.
  void sum(std::span<double> numbers);

  // What this process does, for those who wait for it: rt/dist/watch.h. `allowed`: what it may take.
  void enter(std::string_view phase, std::chrono::minutes allowed = std::chrono::minutes(0));
  void ready();
  void step_done(std::uint64_t step);

 private:
  std::string wait_for(const std::string& key);
  std::string key(const std::string& what) { return "team/" + std::to_string(++calls_) + "/" + what; }
  dist::Session* session_ = nullptr;
  dist::Launch launch_;
  std::string build_;
  std::unique_ptr<dist::Communicator> data_, context_, control_;
  std::uint64_t calls_ = 0;
};

}  // namespace rt
