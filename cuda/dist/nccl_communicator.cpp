#include "cuda/dist/nccl_queue.h"
#include "cuda/dist/nccl_tree.h"
#include "rt/dist/nccl.h"
#include "rt/dist/rows.h"

namespace rt::dist {
namespace {

using nccl::Api;
using nccl::Connection;

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Store& store, int rank, int size, Device device, const NcclOptions& options)
      : rank_(rank),
        size_(size),
        device_(device),
        order_(options.order),
        tree_(rank, size, device, options.staging),
        queue_(store, rank, size, device, options) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Ticket all_reduce(const TensorView& view, Reduction how, const Stream& stream) override {
    check_reduction("all_reduce", view, how);
    if (summed_by_library(view, how)) {
      return give("all_reduce", view, stream, [=](const Api& api, const Call& c) {
        return api.all_reduce(view.data, view.data, count(view), c.type, op(how), c.comm, c.stream);
      });
    }
    return queue("all_reduce", view, stream,
                 [=, this](Connection& c, const Stream& own) { tree_.all_reduce(c, own, view, how); });
  }

  Ticket reduce_scatter(const TensorView& in, const TensorView& out, Reduction how,
                        const Stream& stream) override {
    check_reduction("reduce_scatter", in, how);
    check_parts("reduce_scatter", in, out);
    if (summed_by_library(in, how)) {
      return give("reduce_scatter", in, stream, [=](const Api& api, const Call& c) {
        return api.reduce_scatter(in.data, out.data, count(out), c.type, op(how), c.comm, c.stream);
      });
    }
    return queue("reduce_scatter", in, stream,
                 [=, this](Connection& c, const Stream& own) { tree_.reduce_scatter(c, own, in, out, how); });
  }

  Ticket all_gather(const TensorView& in, const TensorView& out, const Stream& stream) override {
    check_parts("all_gather", out, in);
    return give("all_gather", out, stream, [=](const Api& api, const Call& c) {
      return api.all_gather(in.data, out.data, count(in), c.type, c.comm, c.stream);
    });
  }

  Ticket broadcast(const TensorView& view, int root, const Stream& stream) override {
    RT_CHECK(root >= 0 && root < size_, "broadcast: from rank {} of {}", root, size_);
    return give("broadcast", view, stream, [=](const Api& api, const Call& c) {
      return api.broadcast(view.data, view.data, count(view), c.type, root, c.comm, c.stream);
    });
  }

  void wait(Ticket ticket, const Stream& stream) override {
    RT_CHECK(stream.device() == device_, "wait: a stream of {}, not {}", to_string(stream.device()),
             to_string(device_));
    queue_.wait(static_cast<std::uint64_t>(ticket), stream);
  }

  void barrier() override {
    const auto size = static_cast<std::size_t>(size_);
    queue_.finish(queue_.give("barrier", size, nullptr, [this](Connection& c, const Stream& own) {
      std::byte* const all = tree_.room();
      run(c, own, DType::U8, [&](const Api& api, const Call& call) {
        return api.all_gather(all + rank_, all, 1, call.type, call.comm, call.stream);
      });
    }));
  }

  void abort() noexcept override { queue_.abort(); }

 private:
  struct Call {
    nccl::DataType type;
    nccl::Comm comm;
    nccl::NativeStream stream;
  };

  static std::size_t count(const TensorView& view) { return static_cast<std::size_t>(view.numel()); }
  static nccl::RedOp op(Reduction how) {
    return how.op == ReduceOp::Max ? nccl::RedOp::Max : nccl::RedOp::Sum;
  }
  bool summed_by_library(const TensorView& view, Reduction how) const {
    return order_ == SumOrder::Library && (view.dtype == DType::F64 || how.wire == DType::F32);
  }

  // One call of NCCL's.
  template <class Make>
  static void run(Connection& c, const Stream& stream, DType dtype, const Make& make) {
    const Call call{nccl::data_type(dtype), c.comm(), static_cast<nccl::NativeStream>(stream.native())};
    c.begin();
    c.add([&] { return make(c.api(), call); });
    c.end();
  }
  template <class Make>
  Ticket give(const char* name, const TensorView& view, const Stream& stream, const Make& make) {
    return queue(name, view, stream,
                 [make, dtype = view.dtype](Connection& c, const Stream& own) { run(c, own, dtype, make); });
  }
  Ticket queue(const char* name, const TensorView& view, const Stream& stream, nccl::Queue::Work work) {
    RT_CHECK(view.is_contiguous() && view.device == device_ && stream.device() == device_,
             "{}: {} on {} and a stream of {}, not {}", name, view.shape, to_string(view.device),
             to_string(stream.device()), to_string(device_));
    if (view.numel() == 0) work = [](Connection&, const Stream&) {};
    return Ticket{queue_.give(name, view.nbytes(), &stream, std::move(work))};
  }

  static void check_reduction(const char* name, const TensorView& view, Reduction how) {
    RT_CHECK((view.dtype == DType::F32 || view.dtype == DType::F64) &&
                 (how.wire == DType::F32 || how.wire == DType::BF16),
             "{}: {} sent as {}", name, rt::name(view.dtype), rt::name(how.wire));
  }
  // all (size n), part (n).
  void check_parts(const char* name, const TensorView& all, const TensorView& part) const {
    RT_CHECK(all.numel() == part.numel() * size_ && all.dtype == part.dtype && part.is_contiguous() &&
                 part.device == device_,
             "{}: {} {} of {} and a part {} {} of {}", name, all.shape, rt::name(all.dtype),
             to_string(all.device), part.shape, rt::name(part.dtype), to_string(part.device));
  }

  int rank_, size_;
  Device device_;
  SumOrder order_;
  nccl::TreeReduction tree_;  // of the queue's thread
  nccl::Queue queue_;         // last: its thread uses all of the above
};

}  // namespace

std::unique_ptr<Communicator> nccl_communicator(Store& store, int rank, int size, Device device,
                                                const NcclOptions& options) {
  RT_CHECK(device.kind == DeviceKind::Cuda && size >= 1 && size <= kMaxRows && rank >= 0 && rank < size,
           "NCCL: rank {} of {} on {}", rank, size, to_string(device));
  return std::make_unique<NcclCommunicator>(store, rank, size, device, options);
}

std::string nccl_version() { return nccl::version_text(nccl::load().version); }

}  // namespace rt::dist
