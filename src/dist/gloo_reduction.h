#pragma once
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "dist/gloo_mesh.h"
#include "dist/tree_sum.h"

namespace rt::dist {

// One rank's part of a reduction: the peers' values of it come here as theirs go to them, chunk after chunk,
// one on its way while another is summed. Memory: 2 chunks from each peer, with Wire narrower than T 2 more
// to each, and one widened.
template <class T, class Wire = T>
class GlooReduction {
 public:
  // all (n): this rank's values, in parts of `each`; `slot` and those after it are of this reduction alone.
  GlooReduction(GlooMesh& mesh, const TensorView& all, std::int64_t each, std::uint64_t slot)
      : mesh_(mesh),
        values_(all.as<T>()),
        n_(all.numel()),
        each_(each),
        chunk_(std::min(kChunk, each)),
        slot_(slot) {
    const auto all_peers = static_cast<std::size_t>(mesh.size() * chunk_);
    for (Side& side : sides_) {
      side.arrived.resize(all_peers);
      side.in.emplace(mesh, side.arrived.data(), bytes<Wire>(mesh.size() * chunk_));
      if (!kNarrow) continue;
      side.leaving.resize(all_peers);
      side.out.emplace(mesh, side.leaving.data(), bytes<Wire>(mesh.size() * chunk_));
    }
    if (kNarrow) widened_.resize(all_peers);
    out_.emplace(mesh, values_, bytes<T>(n_));
  }

  // to = the reduction of this rank's part, which may be where it is in `all`.
  void run(std::byte* to, ReduceOp op) {
    if (each_ == 0) return;
    begin(0);
    for (std::int64_t c = 0; c < each_; c += chunk_) {
      if (c + chunk_ < each_) begin(c + chunk_);
      finish(c, to + bytes<T>(c), op);
    }
    out_->wait();
    for (Side& side : sides_)
      if (side.out) side.out->wait();
  }

 private:
  static constexpr bool kNarrow = sizeof(Wire) != sizeof(T);
  static constexpr std::int64_t kChunk = 1 << 18;
  struct Side {
    std::vector<Wire> arrived, leaving;  // (size, chunk)
    std::optional<GlooMesh::Transfer> in, out;
  };

  template <class U>
  static std::size_t bytes(std::int64_t n) {
    return static_cast<std::size_t>(n) * sizeof(U);
  }
  Side& side_of(std::int64_t c) { return sides_[static_cast<std::size_t>(c / chunk_) % 2]; }
  Part part(int rank) const { return part_of(rank, each_, n_); }
  std::int64_t in_chunk(int rank, std::int64_t c) const {
    const auto [first, last] = part(rank);
    return std::clamp<std::int64_t>(last - first - c, 0, chunk_);
  }

  void begin(std::int64_t c) {
    Side& side = side_of(c);
    const std::uint64_t slot = slot_ + static_cast<std::uint64_t>(c / chunk_);
    if (side.out) side.out->wait();  // what leaves from there must have left
    for (int p = 0; p < mesh_.size(); ++p) {
      if (p == mesh_.rank()) continue;
      side.in->receive(p, slot, bytes<Wire>(p * chunk_), bytes<Wire>(in_chunk(mesh_.rank(), c)));
      const std::int64_t from = part(p).first + c, now = in_chunk(p, c);
      if (!kNarrow) {
        out_->send(p, slot, bytes<T>(from), bytes<T>(now));
        continue;
      }
      Wire* const there = side.leaving.data() + p * chunk_;
      for (std::int64_t i = 0; i < now; ++i) there[i] = static_cast<Wire>(values_[from + i]);
      side.out->send(p, slot, bytes<Wire>(p * chunk_), bytes<Wire>(now));
    }
  }

  void finish(std::int64_t c, std::byte* to, ReduceOp op) {
    Side& side = side_of(c);
    side.in->wait();
    const std::int64_t now = in_chunk(mesh_.rank(), c);
    std::vector<T*> parts;
    for (int p = 0; p < mesh_.size(); ++p) parts.push_back(values_of(side, p, c, now));
    tree_reduce<T>(parts, now, op);
    if (now > 0 && to != reinterpret_cast<std::byte*>(parts[0])) std::memcpy(to, parts[0], bytes<T>(now));
  }

  // What rank p adds, widened.
  T* values_of(Side& side, int p, std::int64_t c, std::int64_t now) {
    if (p == mesh_.rank()) {
      T* const own = values_ + part(p).first + c;
      // Rounded as the others' are, so that every rank's values count alike.
      for (std::int64_t i = 0; kNarrow && i < now; ++i) own[i] = static_cast<T>(static_cast<Wire>(own[i]));
      return own;
    }
    Wire* const arrived = side.arrived.data() + p * chunk_;
    if constexpr (!kNarrow) {
      return arrived;
    } else {
      T* const wide = widened_.data() + p * chunk_;
      for (std::int64_t i = 0; i < now; ++i) wide[i] = static_cast<T>(arrived[i]);
      return wide;
    }
  }

  GlooMesh& mesh_;
  T* values_;
  std::int64_t n_, each_, chunk_;
  std::uint64_t slot_;
  std::vector<T> widened_;
  std::array<Side, 2> sides_;
  std::optional<GlooMesh::Transfer> out_;
};

}  // namespace rt::dist
