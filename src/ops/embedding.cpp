#include "rt/ops/embedding.h"

#include "rt/autograd/tape.h"

namespace rt {

const OpTable<EmbeddingKernels>& embedding_table() {
  static constexpr OpTable<EmbeddingKernels> table{
      "embedding",
      {ref::embedding_forward, ref::embedding_backward, ref::embedding_forward},
      {cpu::embedding_forward, cpu::embedding_backward, cpu::embedding_forward},
      {cuda::embedding_forward, cuda::embedding_backward, cuda::embedding_forward}};
  return table;
}

Var embedding(Tape& tape, Var tokens, Var weight) {
  const TensorView ids = tape.value(tokens), w = tape.value(weight);
  RT_CHECK(ids.shape.rank() == 2 && ids.dtype == DType::I32 && w.shape.rank() == 2,
           "embedding: tokens are {} {}, weight {}", ids.shape, name(ids.dtype), w.shape);
  ExecContext& ctx = tape.ctx();
  const Var y = tape.output({ids.shape[0], ids.shape[1], w.shape[1]}, w.dtype, "embedding.y", {weight});
  const auto args = [=](Tape& t) { return EmbeddingArgs{t.value(tokens), t.value(weight)}; };
  embedding_table().at(ctx.impl).forward(ctx, args(tape), {tape.value(y)});
  if (tape.needs_grad(weight)) {
    tape.record("embedding", [=](Tape& t) {
      embedding_table()
          .at(t.ctx().impl)
          .backward(t.ctx(), args(t), {t.value(y)}, {t.grad(y)}, {t.grad_slot(weight)});
    });
  }
  return y;
}

}  // namespace rt
