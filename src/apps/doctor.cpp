// rwkv doctor: what a run will meet on this machine, or, started by a launcher, on all of them.
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "apps/options.h"
#include "apps/verb.h"
#include "rt/core/buffer.h"
#include "rt/core/device_stats.h"
#include "rt/core/parallel.h"
#include "rt/dist/communicator.h"
#include "rt/dist/nccl.h"
#include "rt/dist/session.h"
#include "rt/io/file.h"
#include "rt/ops/gemm_rate.h"
#include "rt/train/machine.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Findings, one line each: what was looked at, what was found, and what to do about it.
class Report {
 public:
  void ok(const std::string& what, const std::string& found) { line("ok", what, found); }
  void warn(const std::string& what, const std::string& found) {
    line("WARN", what, found);
    ++warnings_;
  }
  void bad(const std::string& what, const std::string& found) {
    line("FAIL", what, found);
    ++failures_;
  }
  int failures() const { return failures_; }
  int warnings() const { return warnings_; }

 private:
  static void line(const char* mark, const std::string& what, const std::string& found) {
    std::printf("%-4s  %-18s %s\n", mark, what.c_str(), found.c_str());
    std::fflush(stdout);
  }
  int failures_ = 0, warnings_ = 0;
};

std::string limit_text(rlim_t value) {
  return value == RLIM_INFINITY ? "unlimited" : std::to_string(static_cast<std::uint64_t>(value));
}

void look_at_limits(Report& report) {
  rlimit files{}, locked{};
  getrlimit(RLIMIT_NOFILE, &files);
  getrlimit(RLIMIT_MEMLOCK, &locked);
  constexpr rlim_t kFiles = 4096;
  if (files.rlim_cur < kFiles) {
    report.warn("ulimit -n",
                format("{} open files: two sockets for each other process, and the data. Raise it to {} "
                       "or more",
                       limit_text(files.rlim_cur), kFiles));
  } else {
    report.ok("ulimit -n", limit_text(files.rlim_cur) + " open files");
  }
  if (cuda_device_count() > 0 && locked.rlim_cur != RLIM_INFINITY) {
    report.warn("ulimit -l", format("{} bytes of locked memory: InfiniBand wants it unlimited",
                                    limit_text(locked.rlim_cur)));
  } else {
    report.ok("ulimit -l", limit_text(locked.rlim_cur) + " bytes of locked memory");
  }
}

void look_at_machine(Report& report) {
  const double flops = measure_sgemm_flops();
  report.ok("cpu", format("{} threads, {} GFLOP/s in f32", num_threads(), static_cast<long>(flops / 1e9)));
  report.ok("memory", human_bytes(static_cast<double>(available_memory_bytes())) + " free");
}

void look_at_gpus(Report& report) {
  const int count = cuda_device_count();
  if (count == 0) {
    report.ok("gpu", built_with_cuda() ? "none: no driver, or no device"
                                       : "this build has no CUDA: it trains on the CPU");
    return;
  }
  for (int i = 0; i < count; ++i) {
    const DeviceInfo info = cuda::device_info(i);
    const DeviceStats stats = cuda::device_stats(i);
    const std::string found =
        format("{}, driver for CUDA {}, built with {}, {} MHz, {} C, {} GB/s copy", info.name, info.driver,
               info.runtime, stats.sm_mhz, stats.celsius, static_cast<long>(cuda::copy_bytes_per_s(i) / 1e9));
    const std::string what = "gpu " + std::to_string(i);
    stats.throttled.empty() ? report.ok(what, found)
                            : report.warn(what, found + ", throttled: " + stats.throttled);
  }
}

void look_at_nccl(Report& report) {
  if (cuda_device_count() == 0) return;
  try {
    report.ok("nccl", "version " + dist::nccl_version());
  } catch (const Error& e) { report.warn("nccl", e.what()); }
}

// Written through to the disk, as a checkpoint is.
void look_at_disk(Report& report, const std::string& dir) {
  constexpr std::size_t kBytes = std::size_t{128} << 20;
  const fs::path file = fs::path(dir) / format(".doctor-{}", getpid());
  const std::vector<std::byte> block(std::size_t{1} << 20, std::byte{0x5a});
  try {
    const auto begin = Clock::now();
    io::FileWriter out(file);
    for (std::size_t done = 0; done < kBytes; done += block.size()) out.write(block.data(), block.size());
    out.finish();
    const double rate = kBytes / seconds_since(begin);
    fs::remove(file);
    const std::string found =
        format("{}: {} MB/s written and on disk, {} free", dir, static_cast<long>(rate / 1e6),
               human_bytes(static_cast<double>(io::free_disk_bytes(dir))));
    rate < 50e6 ? report.warn("disk", found + ": checkpoints will be waited for") : report.ok("disk", found);
  } catch (const Error& e) {
    std::error_code ignored;
    fs::remove(file, ignored);
    report.bad("disk", e.what());
  }
}

struct Rate {
  double bytes_per_s = 0, latency = 0;
};

// Of an all-reduce between two: what each sends, and how long nothing takes.
Rate measure_pair(dist::Store& store, int rank, const std::string& prefix) {
  dist::GlooOptions options;
  options.connect = options.timeout = dist::Milliseconds(20'000);
  options.prefix = prefix;
  const auto pair = dist::gloo_communicator(store, rank, 2, options);
  const Stream host(Device::cpu());
  const Tensor numbers({1 << 22}, DType::F32);
  const auto run = [&](const TensorView& view, int times) {
    pair->barrier();
    const auto begin = Clock::now();
    for (int i = 0; i < times; ++i) pair->wait(pair->all_reduce(view, {}, host), host);
    return seconds_since(begin) / times;
  };
  run(numbers.view, 1);
  Rate rate;
  rate.bytes_per_s = static_cast<double>(numbers.view.nbytes()) / run(numbers.view, 5);
  rate.latency = run(numbers.view.slice(0, 0, 1), 50);
  pair->barrier();
  return rate;
}

std::string rate_text(const Rate& rate) {
  return format("{} MB/s sent by each in an all-reduce, {} us when it is of one number",
                static_cast<long>(rate.bytes_per_s / 1e6), static_cast<long>(rate.latency * 1e6));
}

void look_at_loopback(Report& report) {
  try {
    dist::StoreServer server(0);
    const auto one = [&](int rank) {
      dist::Store store("127.0.0.1", server.port(), dist::Milliseconds(10'000));
      return measure_pair(store, rank, "pair");
    };
    std::exception_ptr other_error;
    std::thread other([&] {
      try {
        one(1);
      } catch (...) { other_error = std::current_exception(); }
    });
    std::string found;
    try {
      found = rate_text(one(0));
    } catch (...) {
      other.join();
      throw;
    }
    other.join();
    if (other_error) std::rethrow_exception(other_error);
    report.ok("loopback", found);
  } catch (const Error& e) { report.bad("loopback", e.what()); }
}

// Every two of those that a launcher started, one after the other.
void look_at_network(Report& report, dist::Session& session) {
  const int rank = session.launch().rank, world = session.launch().world;
  for (int a = 0; a < world; ++a) {
    for (int b = a + 1; b < world; ++b) {
      const std::string pair = format("pair/{}-{}", a, b);
      session.watch().enter(pair);
      if (rank == a || rank == b) {
        std::string said;
        try {
          const Rate rate = measure_pair(session.store(), rank == a ? 0 : 1, pair);
          said = "+" + rate_text(rate);
        } catch (const Error& e) { said = std::string("-") + e.what(); }
        session.store().set(format("{}/said/{}", pair, rank), said + " (from " + session.place() + ")");
      }
      // The next pair when this one is done, so that they are alone on the wire.
      for (const int who : {a, b}) {
        const auto said = session.store().get(format("{}/said/{}", pair, who), dist::Milliseconds(60'000));
        if (rank != 0 || (said && said->starts_with("+") && who == b)) continue;
        const std::string what = format("ranks {} and {}", a, b);
        !said || said->starts_with("-")
            ? report.bad(what, said ? said->substr(1) : "no answer from rank " + std::to_string(who))
            : report.ok(what, said->substr(1));
      }
    }
  }
}

}  // namespace

int doctor_main(int argc, char** argv) {
  std::string dir = ".";
  Options options(
      "rwkv doctor",
      "Looks at what a run will meet: limits, speed of the CPU, GPUs, disk and network. Started by a "
      "launcher as several tasks, it measures every two of them.");
  options.text("--dir", dir, "Where runs are to be written");
  if (!options.parse(argc, argv)) return 0;
  const dist::Launch launch = dist::detect_launch(dist::process_environment());
  Report report;
  dist::Session session(launch, {});
  const Exit code = session.run([&] {
    if (launch.rank == 0) {
      report.ok("launch", launch.world == 1 ? "one process"
                                            : format("{} processes, from {}", launch.world, launch.source));
      look_at_machine(report);
      look_at_limits(report);
      look_at_gpus(report);
      look_at_nccl(report);
      look_at_disk(report, dir);
      look_at_loopback(report);
    }
    if (launch.world > 1) {
      session.join({});
      session.watch().ready();
      look_at_network(report, session);
    }
    return Exit::Ok;
  });
  if (code != Exit::Ok) return static_cast<int>(code);
  if (launch.rank == 0) std::printf("%d failures, %d warnings\n", report.failures(), report.warnings());
  return report.failures() > 0 ? static_cast<int>(Exit::Failure) : 0;
}

}  // namespace rt
