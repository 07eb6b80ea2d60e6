#include "rt/train/team.h"

#include "rt/core/device_stats.h"
#include "rt/core/error.h"
#include "rt/core/log.h"
#include "rt/dist/nccl.h"

namespace rt {
namespace {
// Other things are watched while one waits: this is only how often the question is put again.
constexpr dist::Milliseconds kAskAgain(500);
}  // namespace

Team::Team()
    : data_(dist::single_communicator()),
      context_(dist::single_communicator()),
      control_(dist::single_communicator()) {}

Team::Team(dist::Session& session, std::string build) : Team() {
  session_ = &session;
  launch_ = session.launch();
  build_ = std::move(build);
}

std::string Team::wait_for(const std::string& said) {
  for (;;) {
    if (auto found = session_->store().get(said, kAskAgain)) return std::move(*found);
    // A save in the background would hold up the end of a process that has lost its peer.
    if (session_->watch().ending()) fail(Exit::Peer, "{} did not come before the end of this process", said);
  }
}

// What rank 0 throws here ends the others, who wait, through the session.
void Team::lead(const std::string& what, const std::function<void()>& first,
                const std::function<void()>& then) {
  if (leads()) first();
  if (size() == 1) return;
  tell(what, "");
  if (!leads() && then) then();
}

std::string Team::tell(const std::string& what, const std::string& text) {
  if (size() == 1) return text;
  const std::string said = key(what);
  if (!leads()) return wait_for(said);
  session_->store().set(said, text);
  return text;
}

std::vector<std::string> Team::gather(const std::string& what, const std::string& text) {
  if (size() == 1) return {text};
  const std::string said = "all/" + what + "/";
  session_->store().set(said + std::to_string(rank()), text);
  std::vector<std::string> all;
  for (int r = 0; r < size(); ++r) all.push_back(wait_for(said + std::to_string(r)));
  return all;
}

void Team::connect(dist::Facts same, Device device, int slices) {
  if (size() == 1) return;
  const bool gpus = device.kind == DeviceKind::Cuda;
  same["build"] = build_;
  same["device"] = gpus ? "cuda" : "cpu";
  dist::Facts different;
  if (gpus && cuda::device_info) different["GPU"] = cuda::device_info(device.index).uuid;
  session_->join(same, different);
  // A peer that is late or lost is the watch's to name.
  constexpr dist::Milliseconds kNever = std::chrono::hours(24);
  const auto join = [&](bool over_nccl, const std::string& name, int at, int among) {
    dist::Store& store = session_->store();
    std::unique_ptr<dist::Communicator> made;
    if (over_nccl) {
      dist::NcclOptions options;
      options.timeout = kNever;
      options.prefix = "nccl/" + name;
      made = dist::nccl_communicator(store, at, among, device, options);
    } else {
      dist::GlooOptions options;
      options.timeout = kNever;
      options.prefix = "gloo/" + name;
      made = dist::gloo_communicator(store, at, among, options);
    }
    return watched(std::move(made), session_->watch());
  };
  data_ = join(gpus, "data", rank(), size());
  if (slices > 1)
    context_ = join(gpus, "context/" + std::to_string(rank() / slices), rank() % slices, slices);
  control_ = join(false, "control", rank(), size());
  log::info("dist", "{} processes, from {}", size(), launch_.source);
}

Device Team::device(Device first) const {
  if (first.kind == DeviceKind::Cpu || launch_.local_world == 1) return first;
  if (first.index != 0) {
    fail(
        Exit::Config,
        "device: {} is one GPU, but this is one of {} processes of this machine (from {}). Set device: cuda, "
        "and each takes its own.",
        to_string(first), launch_.local_world, launch_.source);
  }
  const int gpus = cuda_device_count();
  if (gpus == 1) return first;  // the one that its launcher shows it; were it everyone's, connect() would see
  if (launch_.local_rank >= gpus) {
    fail(Exit::Config,
         "rank {} is process {} of this machine (from {}), which has {} GPUs. Start one process per GPU, or "
         "set "
         "device: cpu.",
         rank(), launch_.local_rank, launch_.source, gpus);
  }
  return Device::cuda(launch_.local_rank);
}

std::size_t Team::device_bytes(Device device, int processes, int slices) {
  if (device.kind == DeviceKind::Cpu || processes == 1) return 0;
  return dist::NcclOptions().staging * (slices > 1 ? 2 : 1);
}

void Team::enter(std::string_view phase, std::chrono::minutes allowed) {
  if (session_) session_->watch().enter(phase, allowed);
}
void Team::ready() {
  if (session_) session_->watch().ready();
}
void Team::step_done(std::uint64_t step) {
  if (session_) session_->watch().step_done(static_cast<std::int64_t>(step));
}

bool Team::any(bool mine) { return most(mine ? 1 : 0) > 0; }

int Team::most(int mine) {
  if (size() == 1) return mine;
  auto word = static_cast<float>(mine);
  const Stream host(Device::cpu());
  const TensorView view(&word, {1}, DType::F32);
  control_->wait(control_->all_reduce(view, {dist::ReduceOp::Max}, host), host);
  return static_cast<int>(word);
}

void Team::sum(std::span<double> numbers) {
  if (size() == 1 || numbers.empty()) return;
  const Stream host(Device::cpu());
  const TensorView view(numbers.data(), {static_cast<std::int64_t>(numbers.size())}, DType::F64);
  control_->wait(control_->all_reduce(view, {}, host), host);
}

}  // namespace rt
