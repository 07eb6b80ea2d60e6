#pragma once
#include <functional>
#include <utility>

#include "cuda/emulation/streams.h"

// Streams that are being recorded (rt/core/graph.h).
namespace rt::cuda::emu {

bool recording(const void* stream);
// Only while `stream` is being recorded. Dropped when the recording cannot be replayed anyway.
void keep(const void* stream, std::function<void()> work);

// Does `work` now or later, or keeps a copy of it for every replay.
template <class Work>
void submit(const void* stream, Work work) {
  if (recording(stream)) {
    keep(stream, std::move(work));
  } else if (stream && putting_off()) {
    put_off(stream, std::move(work));
  } else {
    work();
  }
}

// Something was done that CUDA does not allow while `stream` is being recorded, if it is: `what` becomes the
// reason why the recording is none. Without a stream: while the calling thread records any.
void spoil(const void* stream, const char* what);
void spoil_all(const char* what);
// The stream is gone, and its recording with it.
void forget(const void* stream) noexcept;

}  // namespace rt::cuda::emu
