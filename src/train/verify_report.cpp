#include "train/verify_report.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rt/core/error.h"
#include "rt/core/host.h"

namespace rt::verification {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// NaN compares false with every limit, so it must not stay one.
double or_infinite(double x) { return std::isnan(x) ? kInfinity : x; }

}  // namespace

Golden::Golden(const std::filesystem::path& path) : archive_(io::open_safetensors(path)) {}

std::string Golden::metadata(const std::string& key) const {
  const auto found = archive_.metadata().find(key);
  if (found == archive_.metadata().end()) {
    fail(Exit::Checkpoint, "{}: its metadata has no \"{}\": not a golden file of this kind.", path(), key);
  }
  return found->second;
}

Values Golden::values(const std::string& name) {
  read_.insert(name);
  return archive_.read_f64(name);
}

Values Golden::values(const std::string& name, std::int64_t count) {
  Values read = values(name);
  if (static_cast<std::int64_t>(read.size()) == count) return read;
  fail(Exit::Checkpoint, "{}: {} has shape {}, expected {} numbers.", path(), name, shape(name), count);
}

Tensor Golden::tensor(const std::string& name, Shape shape, DType dtype) {
  const Values from = values(name, shape.numel());
  Tensor to(shape, dtype);
  for (std::size_t i = 0; i < from.size(); ++i) set_element(to.view, static_cast<std::int64_t>(i), from[i]);
  return to;
}

TensorView Golden::ids(const std::string& name, std::int64_t vocab) {
  read_.insert(name);
  const TensorView view = archive_.tensor(name);
  if (view.dtype != DType::I32) {
    fail(Exit::Checkpoint, "{}: {} is {}, expected i32.", path(), name, rt::name(view.dtype));
  }
  const std::int32_t* ids = view.as<std::int32_t>();
  for (std::int64_t i = 0; i < view.numel(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab) continue;
    fail(Exit::Checkpoint, "{}: {} holds token {}, outside the model's vocabulary of {}.", path(), name,
         ids[i], vocab);
  }
  return view;
}

std::vector<std::string> Golden::unread() const {
  std::vector<std::string> names = archive_.names();
  std::erase_if(names, [&](const std::string& name) { return read_.contains(name); });
  return names;
}

void Report::judge(const std::string& name, const Shape& shape, std::span<const double> got,
                   std::span<const double> want, Quantity quantity, double scale) {
  if (got.size() != want.size()) {
    rt::fail(Exit::Checkpoint, "{}: {} has shape {}, computed were {} numbers.", golden_.path(), name, shape,
             got.size());
  }
  Values difference(want.size());
  double max_abs = 0, max_relative = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference[i] = got[i] - want[i];
    const double absolute = or_infinite(std::abs(difference[i]));
    max_abs = std::max(max_abs, absolute);
    max_relative = std::max(max_relative, want[i] == 0 ? absolute : absolute / std::abs(want[i]));
  }
  if (scale == 0) scale = norm(want);
  const double rms = or_infinite(norm(difference) / (scale > 0 ? scale : 1.0));
  const Limits limit = limits(quantity, options_);
  const bool ok = rms <= limit.rms && max_abs <= limit.max_abs && max_relative <= limit.max_relative;
  result_.lines.push_back({name, shape, rms, max_abs, limit.to_string(),
                           ok ? VerifyLine::Verdict::Ok : VerifyLine::Verdict::Fail});
}

void Report::add(const std::string& name, const Values& got, Quantity quantity) {
  judge(name, golden_.shape(name), got, golden_.values(name), quantity);
  keep(name, got);
}

void Report::add_another(const std::string& name, const std::string& how, const Values& got,
                         Quantity quantity) {
  judge(format("{} ({})", name, how), golden_.shape(name), got, golden_.values(name), quantity);
}

void Report::inform(const std::string& name, const Values& got) {
  judge(name, golden_.shape(name), got, golden_.values(name), Quantity::Exact);
  result_.lines.back().tolerance.clear();
  result_.lines.back().verdict = VerifyLine::Verdict::Info;
}

void Report::fail(const std::string& name, const Shape& shape) {
  result_.lines.push_back({name, shape, kInfinity, kInfinity, "", VerifyLine::Verdict::Fail});
}

void Report::keep(const std::string& name, const Values& got) {
  const io::TensorInfo& info = golden_.archive().info(name);
  Tensor own(info.shape, info.dtype == io::FileDType::I32 ? DType::I32 : DType::F32);
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (own.view.dtype == DType::I32) {
      own.view.as<std::int32_t>()[i] = static_cast<std::int32_t>(got[i]);
    } else {
      set_element(own.view, static_cast<std::int64_t>(i), got[i]);
    }
  }
  result_.computed.emplace_back(name, std::move(own));
}

Values read_values(const TensorView& view) {
  Values values(static_cast<std::size_t>(view.numel()));
  const HostTensor host(view);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = element(host.view(), static_cast<std::int64_t>(i));
  return values;
}

double norm(std::span<const double> v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}

}  // namespace rt::verification
