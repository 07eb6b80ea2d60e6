#pragma once
#include "rt/autograd/parameter.h"
#include "rt/ops/op.h"

namespace rt {

class Tape;
struct Var;

// y[b, t] = weight[tokens[b, t]]. A token outside [0, V) is an error (Exit::Data) on the host. Backward adds
// the rows of dy in the order of (b, t), without atomics: the same bits on every run and for every grouping
// of sequences into micro-batches.
struct EmbeddingArgs {
  TensorView tokens;  // (B, T) I32
  TensorView weight;  // (V, C)
};
struct EmbeddingOuts {
  TensorView y;  // (B, T, C), dtype of weight
};
struct EmbeddingOutGrads {
  TensorView y;
};
struct EmbeddingGrads {
  GradSlot weight;
};

using EmbeddingKernels = OpKernels<EmbeddingArgs, EmbeddingOuts, EmbeddingOutGrads, EmbeddingGrads>;
const OpTable<EmbeddingKernels>& embedding_table();

Var embedding(Tape& tape, Var tokens, Var weight);

namespace ref {
void embedding_forward(ExecContext&, const EmbeddingArgs&, const EmbeddingOuts&);
void embedding_backward(ExecContext&, const EmbeddingArgs&, const EmbeddingOuts&, const EmbeddingOutGrads&,
                        const EmbeddingGrads&);
}  // namespace ref
namespace cpu {
void embedding_forward(ExecContext&, const EmbeddingArgs&, const EmbeddingOuts&);
void embedding_backward(ExecContext&, const EmbeddingArgs&, const EmbeddingOuts&, const EmbeddingOutGrads&,
                        const EmbeddingGrads&);
}  // namespace cpu
namespace cuda {
RT_CUDA void embedding_forward(ExecContext&, const EmbeddingArgs&, const EmbeddingOuts&);
RT_CUDA void embedding_backward(ExecContext&, const EmbeddingArgs&, const EmbeddingOuts&,
                                const EmbeddingOutGrads&, const EmbeddingGrads&);
}  // namespace cuda

}  // namespace rt
