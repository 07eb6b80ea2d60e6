#include "rt/core/log.h"
#include "rt/train/eval_task.h"
#include "rt/train/signals.h"
#include "rt/train/trainer.h"

namespace rt {

std::vector<EvalTask> eval_tasks(const RunConfig& config) {
  std::vector<EvalTask> tasks;
  for (const config::TaskSection& t : config.eval.tasks) {
    EvalTask task{kTaskNames[static_cast<std::size_t>(t.task)], t.path, t.limit, config.data.seq_len, {}};
    check_task_file(task);
    tasks.push_back(std::move(task));
  }
  return tasks;
}

bool Trainer::run_tasks() {
  if (tasks_.empty()) return true;
  Scorer scorer(*model_, impl_of(device_), compute_dtype(config_));
  for (const EvalTask& task : tasks_) {
    const auto result = run_task(scorer, corpus_->tokenizer(), task, &SignalGuard::requested());
    if (!result) return false;
    std::string line;
    std::vector<MetricsFile::Field> fields{{"event", std::string("task")},
                                           {"step", static_cast<std::int64_t>(progress_.step)},
                                           {"task", task.name},
                                           {"path", task.path.string()},
                                           {"examples", static_cast<std::int64_t>(result->examples)},
                                           {"seconds", result->seconds}};
    for (const auto& [name, value] : result->values) {
      line += format(", {}={}", name, value);
      fields.emplace_back(name, value);
    }
    log::info("eval", "step={}, task={}, path={}{}, examples={}", progress_.step, task.name,
              task.path.string(), line, result->examples);
    metrics_->write(fields);
  }
  return true;
}

}  // namespace rt
