#include <map>

#include "rt/dist/communicator.h"
#include "rt/dist/watch.h"

namespace rt::dist {
namespace {

class WatchedCommunicator final : public Communicator {
 public:
  WatchedCommunicator(std::unique_ptr<Communicator> inner, Watch& watch)
      : inner_(std::move(inner)), watch_(watch) {}
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }

  Ticket all_reduce(const TensorView& view, Reduction how, const Stream& stream) override {
    return note("all_reduce", view, inner_->all_reduce(view, how, stream));
  }
  Ticket reduce_scatter(const TensorView& in, const TensorView& out, Reduction how,
                        const Stream& stream) override {
    return note("reduce_scatter", in, inner_->reduce_scatter(in, out, how, stream));
  }
  Ticket all_gather(const TensorView& in, const TensorView& out, const Stream& stream) override {
    return note("all_gather", out, inner_->all_gather(in, out, stream));
  }
  Ticket broadcast(const TensorView& view, int root, const Stream& stream) override {
    return note("broadcast", view, inner_->broadcast(view, root, stream));
  }

  void wait(Ticket ticket, const Stream& stream) override {
    const auto call = calls_.find(ticket);
    if (call == calls_.end()) return inner_->wait(ticket, stream);
    const std::uint64_t number = watch_.begin_collective(call->second.op, call->second.bytes);
    inner_->wait(ticket, stream);
    watch_.end_collective(number);
    calls_.erase(calls_.begin(), std::next(call));  // those before it are done as well
  }
  void barrier() override {
    const std::uint64_t number = watch_.begin_collective("barrier", 0);
    inner_->barrier();
    watch_.end_collective(number);
  }
  void abort() noexcept override { inner_->abort(); }

 private:
  struct Call {
    const char* op;
    std::uint64_t bytes;
  };
  Ticket note(const char* op, const TensorView& view, Ticket ticket) {
    calls_[ticket] = {op, view.nbytes()};
    return ticket;
  }

  std::unique_ptr<Communicator> inner_;
  Watch& watch_;
  std::map<Ticket, Call> calls_;  // not waited for
};

}  // namespace

std::unique_ptr<Communicator> watched(std::unique_ptr<Communicator> communicator, Watch& watch) {
  return std::make_unique<WatchedCommunicator>(std::move(communicator), watch);
}

}  // namespace rt::dist
