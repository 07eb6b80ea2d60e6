#include "apps/check_scale.h"

#include <charconv>
#include <cstdio>
#include <string_view>

#include "rt/core/error.h"
#include "rt/io/file.h"
#include "rt/train/machine.h"
#include "rt/train/planner.h"

namespace rt {
namespace {

// The published RWKV-7 models: reference rwkv.md 1.7.
struct Size {
  std::string_view name;
  std::int64_t layers, width;
};
constexpr Size kSizes[] = {{"0.1B", 12, 768},  {"0.4B", 24, 1024}, {"1.5B", 24, 2048},
                           {"2.9B", 32, 2560}, {"7.2B", 32, 4096}, {"13.3B", 61, 4096}};

std::vector<std::string> items(const std::string& list) {
  std::vector<std::string> all(1);
  for (const char c : list) {
    if (c == ',')
      all.emplace_back();
    else
      all.back() += c;
  }
  return all;
}

std::vector<std::int64_t> worlds_of(const std::string& text) {
  std::vector<std::int64_t> worlds;
  if (text == "sweep") {
    for (std::int64_t w = 1; w <= 4096; w *= 2) worlds.push_back(w);
    return worlds;
  }
  for (const std::string& item : items(text)) {
    std::int64_t w = 0;
    const auto [rest, error] = std::from_chars(item.data(), item.data() + item.size(), w);
    if (error != std::errc() || rest != item.data() + item.size())
      fail(Exit::Config, "--world: \"{}\" is not a number of GPUs. Use 32, 1,8,64 or sweep.", item);
    worlds.push_back(w);
  }
  return worlds;
}

struct NamedModel {
  std::string name;
  ModelSpec spec;
};

std::vector<NamedModel> models_of(const ModelSpec& own, const std::string& run_name,
                                  const std::string& sizes) {
  if (sizes.empty()) return {{run_name, own}};
  std::vector<NamedModel> models;
  for (const std::string& item : items(sizes)) {
    std::string known;
    const std::size_t before = models.size();
    for (const Size& size : kSizes) {
      known += (known.empty() ? "" : ", ") + std::string(size.name);
      if (item != "all" && item != size.name) continue;
      ModelSpec spec;
      spec.layers = size.layers;
      spec.width = size.width;
      spec.vocab = own.vocab;
      models.push_back({std::string(size.name), spec.resolve()});
    }
    if (models.size() == before) fail(Exit::Config, "--sizes: \"{}\" is not one of {}, all.", item, known);
  }
  return models;
}

ScaleRun run_of(const RunConfig& config, const ModelSpec& model, const ScaleQuestion& q, std::int64_t world) {
  ScaleRun run;
  run.model = model;
  run.seq_len = config.data.seq_len;
  run.global_tokens = q.tokens_per_gpu > 0 ? q.tokens_per_gpu * world : config.batch.global_tokens;
  run.micro_sequences = config.batch.micro_sequences;
  run.compute = config.precision.compute.value_or(DType::BF16);
  run.moments = config.optimizer.moments;
  run.wire = config.precision.grad_reduce;
  run.recompute = recompute_of(config);
  run.zero = static_cast<int>(config.parallel.zero);
  run.world = world;
  return run;
}

void line(const std::string& what, const std::string& value, const std::string& note = "") {
  std::printf("%-26s%s%s%s\n", what.c_str(), value.c_str(), note.empty() ? "" : "   ", note.c_str());
}

std::string seconds(double s) {
  char text[32];
  std::snprintf(text, sizeof(text), s < 1 ? "%.2f ms" : "%.3f s", s < 1 ? 1e3 * s : s);
  return text;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f %%", 100 * share);
  return text;
}

void refuse_unless_it_fits(const ScaleRun& run, const ScaleEstimate& e, const Machine& machine) {
  if (e.fits) return;
  const RankMemory& m = e.memory;
  const std::string fits = what_would_fit(run, machine);
  fail(Exit::Memory,
       "--world {}: needs {} a GPU, {} usable on {}: weights {}, masters {}, moments {}, gradients {}, "
       "activations "
       "{}. {}.",
       run.world, human_bytes(m.total()), human_bytes(kUsableMemory * machine.memory), machine.name,
       human_bytes(m.weights), human_bytes(m.masters), human_bytes(m.moments), human_bytes(m.gradients),
       human_bytes(m.activations),
       fits.empty() ? "No setting fits: lower data.seq_len or the model's size" : "Fits with " + fits);
}

void print_memory(const RankMemory& m, const Machine& machine) {
  line("memory per GPU", human_bytes(m.total()),
       format("of {} usable", human_bytes(kUsableMemory * machine.memory)));
  line("  weights", human_bytes(m.weights), "bf16");
  line("  masters", human_bytes(m.masters));
  line("  moments", human_bytes(m.moments));
  line("  gradients", human_bytes(m.gradients));
  line("  activations", human_bytes(m.activations));
  if (m.communication > 0) line("  communication", human_bytes(m.communication));
}

void print_step(const ScaleRun& run, const ScaleEstimate& e) {
  const StepTraffic& t = e.traffic;
  line("step", seconds(e.step_seconds));
  line("  matrix products", seconds(e.compute.products));
  line("  scan", seconds(e.compute.scan));
  line("  other kernels", seconds(e.compute.streaming));
  line("  optimizer", seconds(e.compute.optimizer));
  if (run.world > 1) {
    const double all = t.reduce_seconds + t.gather_seconds;
    line("  communication, exposed", seconds(t.exposed), percent(t.hidden() / all) + " of it is hidden");
    line("sent per GPU", human_bytes(t.reduce_bytes + t.gather_bytes), "in " + seconds(all));
    line(run.zero == 0 ? "  all-reduce, down" : "  reduce-scatter", human_bytes(t.reduce_bytes),
         "in " + seconds(t.reduce_seconds));
    line(run.zero == 0 ? "  all-reduce, up" : "  all-gather", human_bytes(t.gather_bytes),
         "in " + seconds(t.gather_seconds));
  }
  line("speed", human_count(e.tokens_per_second) + " tokens/s",
       human_count(e.tokens_per_second / double(run.world)) + " per GPU");
  line("MFU", percent(e.mfu), percent(e.of_matmul) + " of the best matrix product");
}

void print_one(const NamedModel& model, const ScaleRun& run, const Machine& machine) {
  const ScaleEstimate e = estimate_scale(run, machine);
  refuse_unless_it_fits(run, e, machine);
  line("model",
       format("{}: {} layers, width {}, vocab {}", model.name, run.model.layers, run.model.width,
              run.model.vocab),
       human_count(double(e.parameters)) + " parameters");
  line("machine", format("{} x {}", run.world, machine.name), std::string(machine.what));
  line("run", format("ZeRO {}, recompute {}, gradients sent as {}", run.world > 1 ? run.zero : 0,
                     run.recompute == Recompute::Block ? "block" : "none",
                     run.wire == DType::BF16 ? "bf16" : "f32"));
  line("tokens per step", format("{}", run.global_tokens),
       format("per GPU {} micro-batches of {} sequences of {}", e.accumulation, e.micro_sequences,
              run.seq_len));
  print_memory(e.memory, machine);
  print_step(run, e);
}

void print_header() {
  std::printf("%-8s %5s %10s %10s %9s %9s %9s %10s %9s %6s\n", "model", "GPUs", "tokens", "memory", "step",
              "compute", "exposed", "tokens/s", "per GPU", "MFU");
}

void print_row(const ScaleRow& row) {
  const ScaleEstimate& e = row.estimate;
  std::printf("%-8s %5lld %10s %10s %9s %9s %9s %10s %9s %6s%s\n", row.model.c_str(),
              static_cast<long long>(row.run.world), human_count(double(row.run.global_tokens)).c_str(),
              human_bytes(e.memory.total()).c_str(), seconds(e.step_seconds).c_str(),
              seconds(e.compute.total()).c_str(), seconds(e.traffic.exposed).c_str(),
              human_count(e.tokens_per_second).c_str(),
              human_count(e.tokens_per_second / double(row.run.world)).c_str(), percent(e.mfu).c_str(),
              e.fits ? "" : "  does not fit");
}

}  // namespace

void check_scale(const RunConfig& config, const ModelSpec& own, const ScaleQuestion& q) {
  const Machine& machine = find_machine(q.machine);
  const std::vector<std::int64_t> worlds = worlds_of(q.world);
  const std::vector<NamedModel> models = models_of(own, config.run.name, q.sizes);
  if (worlds.size() * models.size() == 1 && !q.csv && !q.plot) {
    print_one(models[0], run_of(config, models[0].spec, q, worlds[0]), machine);
    return;
  }
  std::vector<ScaleRow> rows;
  print_header();
  for (const NamedModel& model : models) {
    for (const std::int64_t world : worlds) {
      const ScaleRun run = run_of(config, model.spec, q, world);
      // A sweep of one batch ends where a GPU would have less than a sequence.
      if (q.world == "sweep" && run.global_tokens < run.seq_len * world) continue;
      rows.push_back({model.name, run, estimate_scale(run, machine)});
      print_row(rows.back());
    }
  }
  if (q.csv) io::atomic_write(*q.csv, scale_csv(rows, machine));
  if (q.plot) io::atomic_write(*q.plot, scale_plot(rows, machine, q));
}

}  // namespace rt
