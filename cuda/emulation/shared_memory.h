#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "cuda/emulation/runtime.h"

namespace rt::cuda::emu {

// The shared memory of one block. Arrays lie apart, between bytes that nothing may write: an overrun is found
// when the block ends, or at once by AddressSanitizer.
class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void reset(const Options& options, std::size_t dynamic_bytes);

  // Both return null with a text in problem() when the kernel must be stopped.
  void* static_array(const SharedTag& tag, std::size_t bytes, std::size_t align);
  void* carve(unsigned index, std::size_t bytes, std::size_t align, Site site);

  bool contains(const void* p, std::size_t bytes) const;
  // Empty when no byte between the arrays has changed.
  std::string overrun() const;
  const std::string& problem() const { return problem_; }

 private:
  struct Array {
    std::string name() const;
    const SharedTag* tag;  // null: dynamic
    unsigned index;
    Site site;
    std::size_t offset, bytes;
  };
  void* place(Array array, std::size_t align);
  void* refuse(std::string why);

  unsigned char* arena_ = nullptr;
  std::size_t used_ = 0, static_bytes_ = 0, dynamic_bytes_ = 0, carved_bytes_ = 0, limit_ = 0;
  unsigned char fill_ = 0xff;
  std::vector<Array> arrays_;
  std::vector<unsigned> dynamic_;  // index into arrays_
  std::string problem_;
};

}  // namespace rt::cuda::emu
