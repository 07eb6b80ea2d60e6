#pragma once
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>

#include "rt/config/run_config.h"
#include "rt/data/prefetcher.h"
#include "rt/optim/schedule.h"
#include "rt/train/console.h"
#include "rt/train/corpus.h"
#include "rt/train/eval_task.h"
#include "rt/train/evaluation.h"
#include "rt/train/machine.h"
#include "rt/train/metrics.h"
#include "rt/train/micro_step.h"
#include "rt/train/planner.h"
#include "rt/train/run_state.h"
#include "rt/train/saver.h"
#include "rt/train/share.h"
#include "rt/train/team.h"
#include "rt/train/update.h"

namespace rt {

struct StepResult {
  double loss = 0;       // mean over the step's predictions, before the update; NaN when it had none
  double grad_norm = 0;  // before clipping
  double lr = 0;
  bool interrupted = false;  // a signal came: nothing was updated, the step will be run again
};

// eval.tasks, with a look at each file: Exit::Data for one that cannot be used.
std::vector<EvalTask> eval_tasks(const RunConfig& config);

// One run from start or resume to its end, in one process or as one of several, of which rank 0 writes logs
// and samples. Construction checks everything that can be checked (memory, disk, data, stored config) before
// the first step.
//
// Steps are given to the device, which decides by itself whether a step may change the weights: not if its
// loss or gradient is not finite, and then none that was given after it may. The host runs at most
// Update::kStepsAhead steps and BatchFeed::kAhead micro-steps ahead, and learns of it when it settles: before
// it logs, evaluates, samples, saves or ends. (The CPU has done a step when it has been given, and is settled
// with after each.)
class Trainer {
 public:
  // `team`: the processes that train together, each with a Trainer; null: alone.
  explicit Trainer(RunConfig config, std::unique_ptr<Team> team = nullptr);
  ~Trainer();

  // Gives one optimizer step and does not wait for it. False: a signal came, nothing will be updated, and the
  // step will be run again.
  bool give();
  // Waits for what was given; the last step's result. When a step was not finite, everything is as before it,
  // its batches are kept under bad/, the state is saved and Exit::NonFinite thrown.
  StepResult settle();
  // And for the weights that other processes have updated, which otherwise come while the next step begins.
  StepResult settle_all();
  StepResult step();  // give, then settle_all
  // Trains until the budget is spent (returns Exit::Ok), or a signal or the wall-clock budget stops it after
  // saving (Exit::Interrupted).
  Exit fit();

  std::filesystem::path save();
  const Plan& plan() const { return plan_; }
  const RunProgress& progress() const { return progress_; }  // counts the steps that were given
  ParamStore& parameters() { return *store_; }
  const std::filesystem::path& dir() const { return dir_; }

 private:
  void open_run_directory();
  void check_processes() const;
  void check_disk() const;
  void build_model();
  void build_training(const Rng& root);
  void connect();
  std::optional<std::filesystem::path> checkpoint_to_resume() const;
  void start_or_resume();
  void resume_from(const std::filesystem::path& checkpoint);
  void take_up();  // weights, moments and progress that were just read or made
  // Of a bad step: everything is as before it. What to do then, by config stability; the result that it had.
  StepResult recover(const StepReport& bad);
  struct BadStep;
  BadStep look_at(const StepReport& bad) const;
  bool skip(const BadStep& bad, const StepReport& report);
  std::string roll_back(const BadStep& bad);  // why it cannot be; empty: it is
  [[noreturn]] void stop(const BadStep& bad, const std::string& why);
  void note_spikes(const StepReport& report);
  void begin_save();     // of what was trained so far, while training goes on
  void let_save_read();  // before the weights change
  void finish_save();
  bool validate();  // also the tasks; false: interrupted
  bool run_tasks();
  void sample();
  void report(const StepResult& result, bool log_line);
  void save_if_due();
  void compare_replicas_if_due();
  bool stop_asked();    // a signal came, here or in another process
  bool found_better();  // than the checkpoints that are kept for being the best
  bool too_late_to_save();
  bool due(const config::Quantity& every) const;
  bool out_of_time() const;
  Exit finish(bool complete);
  double elapsed() const;
  void pause(std::chrono::steady_clock::time_point begin);  // the time since `begin` was not training

  RunConfig config_;  // as asked for; its device is this process' own
  std::string config_text_;
  std::unique_ptr<Team> team_;
  Device device_;
  std::filesystem::path dir_;
  std::unique_ptr<Console> console_;
  std::unique_ptr<Corpus> corpus_;
  Plan plan_;
  ModelSpec spec_;
  std::unique_ptr<ParamStore> store_;
  std::unique_ptr<LanguageModel> model_;
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<Workspace> workspace_;
  Share share_;
  std::unique_ptr<TimeSlices> slices_;  // null: sequences are whole
  std::unique_ptr<Exchange> exchange_;  // null: alone, and without run.deterministic
  std::function<void(std::size_t)> before_unit_;
  std::unique_ptr<CarriedState> carried_;  // null: every sequence starts from empty state
  std::unique_ptr<MicroStepper> stepper_;
  std::unique_ptr<Update> update_;
  std::unique_ptr<Saver> saver_;
  std::unique_ptr<data::Loader> loader_;
  std::unique_ptr<data::Prefetcher> prefetcher_;
  std::unique_ptr<MetricsFile> metrics_;
  Schedule schedule_;
  std::optional<std::int64_t> total_steps_;
  RunProgress progress_;
  bool settled_ = true;
  std::uint64_t next_data_ = 0;    // the step that the prefetcher comes to
  std::uint64_t spikes_seen_ = 0;  // of the report
  std::uint64_t predictions_ = 0;  // targets of the last step that were not ignored
  StepResult settled_with_;
  std::uint64_t saved_step_ = 0;
  bool has_saved_ = false;
  bool save_asked_ = false;                  // by the trigger file
  double save_seconds_ = 0;                  // the last one took
  std::optional<std::uint64_t> begun_step_;  // of the last one
  double save_wait_ = 0;                     // seconds that training has waited for checkpoints, in all
  Yardstick yardstick_{};
  std::optional<EvalResult> last_eval_;
  std::vector<EvalTask> tasks_;
  std::chrono::steady_clock::time_point started_, last_save_, last_report_;
  std::uint64_t reported_tokens_ = 0;
  double reported_wait_ = 0, reported_save_wait_ = 0;
  double validation_seconds_ = 0;  // the last one took
  double step_seconds_ = 0;        // as last reported
};

}  // namespace rt
