#pragma once
#include "rt/core/device_api.h"
#include "rt/core/parallel.h"

namespace rt::cuda::emu {
// Where kernels run on the CPU: the order in which a block's threads get their turns, for launches from now
// on. 0 is the default order.
RT_CUDA void use_schedule(int index);
RT_CUDA int schedule_count() noexcept;
}  // namespace rt::cuda::emu

namespace rt::testing {

// Ways to run that must give the same bits: again, with 1 thread, with 4, and each order of an emulated
// device's threads.
inline int schedules() { return 3 + (cuda::emu::schedule_count ? cuda::emu::schedule_count() : 0); }

class Schedule {
 public:
  explicit Schedule(int index) : threads_(num_threads()) {
    if (index == 1 || index == 2) set_num_threads(index == 1 ? 1 : 4);
    if (index >= 3) cuda::emu::use_schedule(index - 3);
  }
  ~Schedule() {
    set_num_threads(threads_);
    if (cuda::emu::use_schedule) cuda::emu::use_schedule(0);
  }
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;

 private:
  int threads_;
};

}  // namespace rt::testing
