#pragma once
#include <gloo/rendezvous/context.h>

#include <mutex>
#include <vector>

#include "rt/dist/communicator.h"

namespace rt::dist {

using Part = std::pair<std::int64_t, std::int64_t>;  // elements [begin, end)

// Of n elements in parts of `each`, the last ones shorter or empty.
inline Part part_of(int rank, std::int64_t each, std::int64_t n) {
  return {std::min(n, rank * each), std::min(n, (rank + 1) * each)};
}

// What Gloo says, without the place in its source.
std::string words_of(const std::exception& e);

// Connections between all ranks.
class GlooMesh {
 public:
  GlooMesh(Store& store, int rank, int size, const GlooOptions& options);
  int rank() const { return rank_; }
  int size() const { return size_; }
  void abort() noexcept;  // from any thread

  // Memory that peers read or write. `slot` and the peer say which of its sends is which receive.
  class Transfer {
   public:
    Transfer(GlooMesh& mesh, void* data, std::size_t bytes);
    ~Transfer();
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;
    void send(int to, std::uint64_t slot, std::size_t offset, std::size_t bytes);
    void receive(int from, std::uint64_t slot, std::size_t offset, std::size_t bytes);
    void wait();  // for all of the above

   private:
    GlooMesh& mesh_;
    std::unique_ptr<gloo::transport::UnboundBuffer> buffer_;
    int sent_ = 0, received_ = 0;
  };

 private:
  int rank_, size_;
  std::shared_ptr<gloo::rendezvous::Context> context_;
  std::mutex mutex_;
  std::vector<gloo::transport::UnboundBuffer*> active_;
  bool aborted_ = false;
};

}  // namespace rt::dist
