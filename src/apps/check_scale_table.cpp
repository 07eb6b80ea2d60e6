// The files that `rwkv check --world` writes: CSV and the plot.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "apps/check_scale.h"
#include "apps/line_plot.h"
#include "rt/core/error.h"
#include "rt/train/machine.h"

namespace rt {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

std::vector<LinePlot::Mark> read_points(const std::string& file) {
  std::ifstream in(file);
  if (!in) fail(Exit::Config, "--points: cannot read {}.", file);
  std::vector<LinePlot::Mark> marks;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (number == 1 || line.empty()) continue;  // names of the columns
    std::istringstream fields(line);
    LinePlot::Mark mark;
    std::string gpus, mfu;
    std::getline(fields, mark.name, ',');
    std::getline(fields, gpus, ',');
    std::getline(fields, mfu, ',');
    std::getline(fields, mark.label);
    char* end = nullptr;
    mark.at.x = std::strtod(gpus.c_str(), &end);
    const bool whole = !gpus.empty() && *end == 0;
    mark.at.y = 100 * std::strtod(mfu.c_str(), &end);
    if (!whole || mfu.empty() || *end != 0)
      fail(Exit::Config, "--points: {}:{}: \"{}\" is not model,gpus,mfu,label.", file, number, line);
    marks.push_back(mark);
  }
  return marks;
}

}  // namespace

std::string scale_csv(const std::vector<ScaleRow>& rows, const Machine& machine) {
  std::ostringstream out;
  out.precision(6);
  out << "model,machine,gpus,zero,recompute,seq_len,global_tokens,micro_sequences,accumulation,parameters,"
         "active_parameters,memory_gib,fits,products_s,scan_s,streaming_s,optimizer_s,reduce_gb,gather_gb,"
         "communication_s,exposed_s,step_s,tokens_per_s,tokens_per_s_gpu,mfu,of_matmul\n";
  for (const ScaleRow& row : rows) {
    const ScaleRun& r = row.run;
    const ScaleEstimate& e = row.estimate;
    out << row.model << ',' << machine.name << ',' << r.world << ',' << r.zero << ','
        << (r.recompute == Recompute::Block ? "block" : "none") << ',' << r.seq_len << ',' << r.global_tokens
        << ',' << e.micro_sequences << ',' << e.accumulation << ',' << e.parameters << ','
        << e.active_parameters << ',' << e.memory.total() / kGiB << ',' << (e.fits ? "yes" : "no") << ','
        << e.compute.products << ',' << e.compute.scan << ',' << e.compute.streaming << ','
        << e.compute.optimizer << ',' << e.traffic.reduce_bytes / 1e9 << ',' << e.traffic.gather_bytes / 1e9
        << ',' << e.traffic.reduce_seconds + e.traffic.gather_seconds << ',' << e.traffic.exposed << ','
        << e.step_seconds << ',' << e.tokens_per_second << ','
        << e.tokens_per_second / static_cast<double>(r.world) << ',' << e.mfu << ',' << e.of_matmul << '\n';
  }
  return out.str();
}

std::string scale_plot(const std::vector<ScaleRow>& rows, const Machine& machine,
                       const ScaleQuestion& question) {
  LinePlot plot;
  plot.title = format("Predicted MFU, {}, ZeRO {}", machine.name, rows.empty() ? 0 : rows.front().run.zero);
  plot.x_title = "GPUs";
  plot.y_title = "MFU, % (6 FLOPs per active parameter and token)";
  plot.y_max = 70;
  plot.y_step = 10;
  const ScaleRun& first = rows.front().run;
  const std::string tokens = question.tokens_per_gpu > 0
                                 ? human_count(double(question.tokens_per_gpu)) + " tokens per GPU"
                                 : human_count(double(first.global_tokens)) + " tokens in all";
  plot.subtitle = format("{} a step, T {}{}; lines begin where a model fits", tokens, first.seq_len,
                         first.recompute == Recompute::Block ? ", blocks recomputed" : "");
  for (const ScaleRow& row : rows) {
    if (plot.lines.empty() || plot.lines.back().name != row.model) plot.lines.push_back({row.model, {}});
    const auto gpus = static_cast<double>(row.run.world);
    plot.x_max = std::max(plot.x_max, std::exp2(std::ceil(std::log2(gpus))));
    if (row.estimate.fits) plot.lines.back().points.push_back({gpus, 100 * row.estimate.mfu});
  }
  if (question.points) plot.marks = read_points(*question.points);
  if (!plot.marks.empty()) plot.subtitle += "; rings: published";
  return plot.svg();
}

}  // namespace rt
