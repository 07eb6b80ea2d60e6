#include "rt/ops/embedding.h"

#include "ops/cpu/rows.h"

namespace rt::cpu {
namespace {

using simd::kLanes;
using simd::load_tail;

constexpr std::int64_t kColumns = 64;

// Each task owns a strip of columns and walks all tokens in order.
template <class T>
void add_strip(const EmbeddingArgs& a, const T* dy, const std::uint8_t* first, float* dw, std::int64_t begin,
               std::int64_t end) {
  const std::int64_t C = a.weight.shape[1], n = a.tokens.numel();
  const std::int32_t* tokens = a.tokens.as<std::int32_t>();
  for (std::int64_t i = 0; i < n; ++i) {
    float* to = dw + tokens[i] * C;
    const T* from = dy + i * C;
    for (std::int64_t c = begin; c < end; c += kLanes) {
      put(to + c, load_tail(from + c, end - c), end - c, first[i] == 0);
    }
  }
}

}  // namespace

void embedding_forward(ExecContext& ctx, const EmbeddingArgs& a, const EmbeddingOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t V = a.weight.shape[0], T = a.tokens.shape[1];
  const std::size_t row = a.weight.nbytes() / static_cast<std::size_t>(V);
  const std::int32_t* tokens = a.tokens.as<std::int32_t>();
  parallel_for(a.tokens.numel(), 32, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      if (tokens[i] < 0 || tokens[i] >= V) {
        fail(Exit::Data, "embedding: token {} at sequence {}, position {} is not in [0, {})", tokens[i],
             i / T, i % T, V);
      }
      std::memcpy(o.y.data + static_cast<std::size_t>(i) * row,
                  a.weight.data + static_cast<std::size_t>(tokens[i]) * row, row);
    }
  });
}

void embedding_backward(ExecContext& ctx, const EmbeddingArgs& a, const EmbeddingOuts&,
                        const EmbeddingOutGrads& dout, const EmbeddingGrads& g) {
  if (!g.weight) return;
  const ArenaScope scope(ctx.scratch);
  const std::int64_t V = a.weight.shape[0], C = a.weight.shape[1], n = a.tokens.numel();
  const TensorView seen = ctx.scratch.alloc({V}, DType::U8, "embedding.seen");
  const TensorView first = ctx.scratch.alloc({n}, DType::U8, "embedding.first");  // overwrites its row
  if (ctx.dry_run) return;
  const std::int32_t* tokens = a.tokens.as<std::int32_t>();
  auto *seen_at = seen.as<std::uint8_t>(), *first_at = first.as<std::uint8_t>();
  float* dw = g.weight.view.as<float>();
  std::memset(first.data, 0, first.nbytes());
  if (g.weight.mode == GradMode::Overwrite) {
    std::memset(seen.data, 0, seen.nbytes());
    for (std::int64_t i = 0; i < n; ++i) {
      first_at[i] = seen_at[tokens[i]] == 0;
      seen_at[tokens[i]] = 1;
    }
    parallel_for(V, 256, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t v = begin; v < end; ++v) {
        if (!seen_at[v]) std::memset(dw + v * C, 0, static_cast<std::size_t>(C) * sizeof(float));
      }
    });
  }
  simd::dispatch_storage(dout.y.dtype, [&]<class T>(T) {
    parallel_for(C, kColumns, [&](std::int64_t begin, std::int64_t end) {
      add_strip(a, dout.y.as<T>(), first_at, dw, begin, end);
    });
  });
}

}  // namespace rt::cpu
