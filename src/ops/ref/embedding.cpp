#include "rt/ops/embedding.h"

#include "ops/ref/accumulate.h"

namespace rt::ref {

void embedding_forward(ExecContext& ctx, const EmbeddingArgs& a, const EmbeddingOuts& o) {
  if (ctx.dry_run) return;
  const std::int64_t V = a.weight.shape[0], C = a.weight.shape[1], T = a.tokens.shape[1];
  const std::int32_t* tokens = a.tokens.as<std::int32_t>();
  for (std::int64_t i = 0; i < a.tokens.numel(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= V) {
      fail(Exit::Data, "embedding: token {} at sequence {}, position {} is not in [0, {})", tokens[i], i / T,
           i % T, V);
    }
    for (std::int64_t c = 0; c < C; ++c) {
      o.y.as<double>()[i * C + c] = a.weight.as<double>()[tokens[i] * C + c];
    }
  }
}

void embedding_backward(ExecContext& ctx, const EmbeddingArgs& a, const EmbeddingOuts&,
                        const EmbeddingOutGrads& dout, const EmbeddingGrads& g) {
  if (ctx.dry_run) return;
  const std::int64_t C = a.weight.shape[1];
  const std::int32_t* tokens = a.tokens.as<std::int32_t>();
  const GradRef dw(g.weight);
  for (std::int64_t i = 0; i < a.tokens.numel(); ++i) {
    for (std::int64_t c = 0; c < C; ++c) dw.add(tokens[i] * C + c, dout.y.as<double>()[i * C + c]);
  }
}

}  // namespace rt::ref
