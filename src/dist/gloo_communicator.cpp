#include "rt/core/error.h"
#include "rt/dist/communicator.h"

#ifdef RT_WITH_GLOO
#include "dist/gloo_mesh.h"
#include "dist/gloo_reduction.h"
#include "dist/work_queue.h"

namespace rt::dist {
namespace {

class GlooCommunicator final : public Communicator {
 public:
  GlooCommunicator(Store& store, int rank, int size, const GlooOptions& options)
      : rank_(rank), size_(size), mesh_(store, rank, size, options) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Ticket all_reduce(const TensorView& view, Reduction how, const Stream&) override {
    const std::int64_t n = view.numel(), each = (n + size_ - 1) / size_;
    return give("all_reduce", view, [=, this](std::uint64_t slot) {
      const std::int64_t own = part_of(rank_, each, n).first * static_cast<std::int64_t>(size_of(view.dtype));
      reduce(view, each, view.data + own, how, slot);
      if (how.wire == DType::BF16 && view.dtype == DType::F32) return share_narrow(view, each, slot);
      share(view, each, slot);
    });
  }

  Ticket reduce_scatter(const TensorView& in, const TensorView& out, Reduction how, const Stream&) override {
    const std::int64_t n = out.numel();
    RT_CHECK(in.numel() == n * size_ && in.dtype == out.dtype, "reduce_scatter: {} {} to {} {}", in.shape,
             name(in.dtype), out.shape, name(out.dtype));
    return give("reduce_scatter", in, [=, this](std::uint64_t slot) { reduce(in, n, out.data, how, slot); });
  }

  Ticket all_gather(const TensorView& in, const TensorView& out, const Stream&) override {
    const std::int64_t n = in.numel();
    RT_CHECK(out.numel() == n * size_ && in.dtype == out.dtype, "all_gather: {} {} to {} {}", in.shape,
             name(in.dtype), out.shape, name(out.dtype));
    return give("all_gather", out, [=, this](std::uint64_t slot) {
      std::byte* const own = out.data + static_cast<std::size_t>(rank_) * in.nbytes();
      if (own != in.data) std::memcpy(own, in.data, in.nbytes());
      share(out, n, slot);
    });
  }

  Ticket broadcast(const TensorView& view, int root, const Stream&) override {
    RT_CHECK(root >= 0 && root < size_, "broadcast: from rank {} of {}", root, size_);
    return give("broadcast", view, [=, this](std::uint64_t slot) { spread(view, root, slot); });
  }

  void wait(Ticket ticket, const Stream&) override { queue_.wait(static_cast<std::uint64_t>(ticket)); }

  void barrier() override {
    const Stream none(Device::cpu());
    double nothing = 0;
    wait(all_reduce(TensorView(&nothing, {1}, DType::F64), {}, none), none);
  }

  void abort() noexcept override { mesh_.abort(); }

 private:
  using Transfer = GlooMesh::Transfer;
  // A call's chunks have the first half of its slots, what follows on them the second.
  static constexpr std::uint64_t kSlots = 1 << 24;

  Ticket give(const char* call, const TensorView& view, std::function<void(std::uint64_t slot)> work) {
    RT_CHECK(view.is_contiguous() && view.device.kind == DeviceKind::Cpu, "{}: {} on {}", call, view.shape,
             to_string(view.device));
    const std::uint64_t number = ++calls_;
    return Ticket{queue_.give([=, this, bytes = view.nbytes(), work = std::move(work)] {
      try {
        work(number * kSlots);
      } catch (const std::exception& e) {
        fail(Exit::Peer, "rank {}: {} number {} of {} bytes among {} processes failed: {}", rank_, call,
             number, bytes, size_, words_of(e));
      }
    })};
  }

  void reduce(const TensorView& all, std::int64_t each, std::byte* to, Reduction how, std::uint64_t slot) {
    if (all.dtype == DType::F64) return GlooReduction<double>(mesh_, all, each, slot).run(to, how.op);
    if (how.wire == DType::BF16) return GlooReduction<float, bf16>(mesh_, all, each, slot).run(to, how.op);
    GlooReduction<float>(mesh_, all, each, slot).run(to, how.op);
  }

  // As share(), but it travels, and arrives, as BF16.
  void share_narrow(const TensorView& all, std::int64_t each, std::uint64_t slot) {
    float* const values = all.as<float>();
    std::vector<bf16> packed(static_cast<std::size_t>(all.numel()));
    const auto [first, last] = part_of(rank_, each, all.numel());
    for (std::int64_t i = first; i < last; ++i) packed[static_cast<std::size_t>(i)] = bf16(values[i]);
    share(TensorView(packed.data(), {all.numel()}, DType::BF16), each, slot);
    for (std::size_t i = 0; i < packed.size(); ++i) values[i] = static_cast<float>(packed[i]);
  }

  // Every rank's part of `all`, `each` elements apiece, to all others.
  void share(const TensorView& all, std::int64_t each, std::uint64_t slot) {
    slot += kSlots / 2;
    Transfer in(mesh_, all.data, all.nbytes()), out(mesh_, all.data, all.nbytes());
    const auto place = [&](int rank) {
      const auto [first, last] = part_of(rank, each, all.numel());
      const std::size_t size = size_of(all.dtype);
      return std::pair(static_cast<std::size_t>(first) * size, static_cast<std::size_t>(last - first) * size);
    };
    const auto [own, own_bytes] = place(rank_);
    for (int i = 1; i < size_; ++i) {
      const int from = (rank_ - i + size_) % size_;
      const auto [theirs, their_bytes] = place(from);
      in.receive(from, slot, theirs, their_bytes);
      out.send((rank_ + i) % size_, slot, own, own_bytes);
    }
    in.wait();
    out.wait();
  }

  // Down a binomial tree.
  void spread(const TensorView& view, int root, std::uint64_t slot) {
    Transfer in(mesh_, view.data, view.nbytes()), out(mesh_, view.data, view.nbytes());
    const int place = (rank_ - root + size_) % size_;
    int reach = 1;
    while (reach < size_) reach *= 2;
    for (int stride = reach / 2; stride >= 1; stride /= 2) {
      if (place % (2 * stride) == 0) {
        if (place + stride < size_) out.send((rank_ + stride) % size_, slot, 0, view.nbytes());
      } else if (place % (2 * stride) == stride) {
        in.receive((rank_ - stride + size_) % size_, slot, 0, view.nbytes());
        in.wait();
      }
    }
    out.wait();
  }

  int rank_, size_;
  GlooMesh mesh_;
  std::uint64_t calls_ = 0;
  WorkQueue queue_;  // last: its thread uses all of the above
};

}  // namespace

std::unique_ptr<Communicator> gloo_communicator(Store& store, int rank, int size,
                                                const GlooOptions& options) {
  return std::make_unique<GlooCommunicator>(store, rank, size, options);
}

}  // namespace rt::dist

#else

namespace rt::dist {

std::unique_ptr<Communicator> gloo_communicator(Store&, int, int, const GlooOptions&) {
  fail(
      Exit::Config,
      "this build trains in one process on CPUs: Gloo was not found. Install libgloo-dev, then build again.");
}

}  // namespace rt::dist

#endif
