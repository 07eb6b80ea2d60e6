#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/eval.h"
#include "apps/model_options.h"
#include "rt/io/file.h"
#include "rt/train/signals.h"

namespace rt {

void eval_task(const LoadedModel& loaded, Impl impl, DType compute, std::int64_t rows, const EvalTask& task,
               const std::optional<std::string>& out) {
  Scorer scorer =
      rows > 0 ? Scorer(*loaded.model, impl, compute, rows) : Scorer(*loaded.model, impl, compute);
  const SignalGuard signals;
  const auto result = run_task(scorer, *loaded.tokenizer, task, &SignalGuard::requested());
  if (!result) fail(Exit::Interrupted, "interrupted");
  for (const auto& [name, value] : result->values) std::printf("%-16s %.10g\n", name.c_str(), value);
  std::printf("%-16s %llu\n", "examples", static_cast<unsigned long long>(result->examples));
  std::printf("%-16s %.1f\n", "seconds", result->seconds);
  if (!out) return;
  nlohmann::ordered_json json{
      {"model", loaded.file.string()}, {"step", loaded.step}, {"task", task.name},
      {"data", task.path.string()},    {"limit", task.limit}, {"examples", result->examples},
      {"seconds", result->seconds}};
  for (const auto& [name, value] : result->values) json["results"][name] = value;
  io::atomic_write(*out, json.dump(2) + "\n");
}

}  // namespace rt
