#pragma once
#include <filesystem>
#include <functional>
#include <future>
#include <optional>

#include "rt/config/run_config.h"
#include "rt/core/pinned_buffer.h"
#include "rt/io/checkpoint.h"
#include "rt/train/run_state.h"
#include "rt/train/team.h"

namespace rt {

// Writes checkpoints of a run beside its training: a thread of its own reads masters, moments and carried
// state, which nobody may change until read() has returned. The next forward and backward do not; the update
// that follows them does.
//
// What a device holds is first copied to page-locked host memory that is kept for this, so that the update
// waits for the copy and not for the disk; where the host has no room for it, and on the CPU, where a step is
// long and memory short, everything is written from where it is. Nobody waits for older checkpoints to be
// removed.
//
// A full disk is waited for: a run is worth more than the time until somebody has made room.
class Saver {
 public:
  struct Source {
    std::filesystem::path root;
    std::string config;  // the resolved one
    ParamStore* store;
    Optimizer* optimizer;
    const CarriedState* carried;  // null: none
    const data::Tokenizer* tokenizer;
    Team* team;
    io::Retention keep;
    std::optional<config::KeepBest> best = {};  // to be kept as well
  };
  // `background` false: begin() does all of it.
  Saver(Source source, bool background);
  ~Saver();

  void begin(const RunProgress& progress);       // after finish()
  bool busy() const { return saving_.valid(); }  // there is something to finish()
  // Waits until what begin() was to save may change.
  void read();
  bool done() const;  // finish() will not wait
  struct Saved {
    std::filesystem::path dir;
    std::uint64_t step = 0;
    double seconds = 0;  // it took
    double waited = 0;   // of these, the caller
    friend bool operator==(const Saved&, const Saved&) = default;
  };
  // What was begun, once it is on disk; empty when nothing was. Throws what went wrong.
  std::optional<Saved> finish();

 private:
  io::SaveCrew crew();
  void make_room();
  // `reading`: set once everything is copied, or written; after an error dropped.
  Saved write(const RunProgress& progress, std::promise<void> reading);
  std::filesystem::path write_to_disk(const RunProgress& progress, const RunTensors& tensors,
                                      const io::SaveCrew& crew);
  void prune() const;
  Source source_;
  bool background_;
  PinnedBuffer room_;  // for copies
  std::future<Saved> saving_;
  std::future<void> read_;   // all that is to be saved
  double waited_ = 0;        // in read(), since begin()
  std::uint64_t calls_ = 0;  // to the crew; the same in all processes
  std::uint64_t last_step_ = 0;
  bool any_ = false;
};

}  // namespace rt
