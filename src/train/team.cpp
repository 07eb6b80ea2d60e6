#include "rt/train/team.h"

#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/train/machine.h"

namespace rt {
namespace {

// What went wrong in one process, on its way to the others.
std::string words_of(const Error& e) { return std::to_string(static_cast<int>(e.code())) + " " + e.what(); }
constexpr char kGood = '+', kBad = '-';

std::string good(const std::string& text) { return kGood + text; }
std::string expect_good(const std::string& said, const std::string& who) {
  if (said.starts_with(kGood)) return said.substr(1);
  const std::size_t space = said.find(' ');
  const auto code = static_cast<Exit>(std::stoi(said.substr(1, space)));
  fail(code, "{}: {}", who, said.substr(space + 1));
}

}  // namespace

Team::Team() : data_(dist::single_communicator()), control_(dist::single_communicator()) {}

Team::Team(const dist::Launch& launch, std::string build) : Team() {
  launch_ = launch;
  build_ = std::move(build);
  if (size() == 1) return;
  if (leads()) server_ = std::make_unique<dist::StoreServer>(launch.port);
  store_ = std::make_unique<dist::Store>(launch.host, launch.port, patience_);
}

Team::~Team() = default;

void Team::lead(const std::string& what, const std::function<void()>& first,
                const std::function<void()>& then) {
  if (size() == 1) return first();
  const std::string said = key(what);
  if (leads()) {
    try {
      first();
    } catch (const Error& e) {
      store_->set(said, kBad + words_of(e));
      throw;
    }
    store_->set(said, good(""));
    return;
  }
  // Preparing may take long: data is made, files are verified.
  std::optional<std::string> found;
  while (!found) found = store_->get(said, dist::Milliseconds(10'000));
  expect_good(*found, "rank 0");
  then();
}

std::string Team::tell(const std::string& what, const std::string& text) {
  if (size() == 1) return text;
  const std::string said = key(what);
  if (leads()) {
    store_->set(said, text);
    return text;
  }
  std::optional<std::string> found;
  while (!found) found = store_->get(said, dist::Milliseconds(10'000));
  return *found;
}

std::vector<std::string> Team::gather(const std::string& what, const std::string& text) {
  if (size() == 1) return {text};
  const std::string said = key(what) + "/";
  store_->set(said + std::to_string(rank()), text);
  std::vector<std::string> all;
  for (int r = 0; r < size(); ++r) {
    std::optional<std::string> found;
    while (!found) found = store_->get(said + std::to_string(r), dist::Milliseconds(10'000));
    all.push_back(std::move(*found));
  }
  return all;
}

void Team::connect(dist::Member me, Device device) {
  if (size() == 1) return;
  if (device.kind != DeviceKind::Cpu) {
    fail(Exit::Config,
         "this is rank {} of {} (from {}), but this version trains on one GPU. Start one process, or set "
         "device: cpu.",
         rank(), size(), launch_.source);
  }
  me.machine = host_name();
  me.same["build"] = build_;
  dist::join(*store_, launch_, me, patience_);
  dist::GlooOptions options;
  options.connect = patience_;
  options.prefix = "gloo/data";
  data_ = dist::gloo_communicator(*store_, rank(), size(), options);
  options.prefix = "gloo/control";
  control_ = dist::gloo_communicator(*store_, rank(), size(), options);
  if (leads()) log::info("dist", "{} processes, from {}", size(), launch_.source);
}

std::vector<bool> Team::any(const std::vector<bool>& flags) {
  if (size() == 1) return flags;
  std::vector<float> words(flags.begin(), flags.end());
  const Stream host(Device::cpu());
  const TensorView view(words.data(), {static_cast<std::int64_t>(words.size())}, DType::F32);
  control_->wait(control_->all_reduce(view, {dist::ReduceOp::Max}, host), host);
  std::vector<bool> all;
  for (const float word : words) all.push_back(word > 0);
  return all;
}

void Team::sum(std::span<double> numbers) {
  if (size() == 1 || numbers.empty()) return;
  const Stream host(Device::cpu());
  const TensorView view(numbers.data(), {static_cast<std::int64_t>(numbers.size())}, DType::F64);
  control_->wait(control_->all_reduce(view, {}, host), host);
}

}  // namespace rt
