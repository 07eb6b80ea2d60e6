#include "cuda/ops/wkv7_row.cuh"

namespace rt::cuda::wkv7_impl {
namespace {

template <class T>
struct ForwardOut {
  T* y;
  float* state;
  float *sa, *chunk_states;  // may be null
};

// Rows of S are independent of each other: a block takes some of a head's rows through all tokens.
template <class T, int Count, int Parts>
__global__ void __launch_bounds__(Lane<Count, Parts>::kThreads)
    wkv7_forward_row_kernel(Inputs<T> in, ForwardOut<T> out) {
  using L = Lane<Count, Parts>;
  constexpr int kWidth = L::kWidth, kTile = L::kTile;
  Smem sm;
  const KeyTile<L> keys(sm);
  float* v = sm.take<float>(kTile * L::kLines);
  const L lane;
  const int head = static_cast<int>(blockIdx.x), row0 = static_cast<int>(blockIdx.y) * L::kLines;
  const int row = row0 + lane.line, N = in.N;
  const bool live = row < N;
  const std::int64_t first = in.first(head), size = static_cast<std::int64_t>(N) * N;
  const std::int64_t chunks = (in.T_ + kWkv7Chunk - 1) / kWkv7Chunk;
  float S[Count];
  lane.load(S, in.s0 ? in.s0 + head * size + static_cast<std::int64_t>(row) * N : nullptr, 1, N, live);
  for (std::int64_t t0 = 0; t0 < in.T_; t0 += kTile) {
    const int count = static_cast<int>(in.T_ - t0 < kTile ? in.T_ - t0 : kTile);
    __syncthreads();
    keys.load(in, head, t0, count);
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < count * L::kLines; i += L::kThreads) {
      const int line = row0 + i % L::kLines;
      v[i] = line < N ? to_float(in.v[first + (t0 + i / L::kLines) * in.C + line]) : 0;
    }
    __syncthreads();
#pragma unroll 1
    for (int u = 0; u < count; ++u) {
      const std::int64_t t = t0 + u;
      if (out.chunk_states && t > 0 && t % kWkv7Chunk == 0) {
        const std::int64_t at = head * (chunks - 1) + t / kWkv7Chunk - 1;
        lane.store(S, out.chunk_states + at * size + static_cast<std::int64_t>(row) * N, 1, N, live);
      }
      if (in.is_reset(head, t)) L::zero(S);
      const float sa = lane.dot(S, keys.a() + u * kWidth);
      lane.decay_and_add(S, keys.d() + u * kWidth, sa, keys.b() + u * kWidth);
      lane.add(S, v[u * L::kLines + lane.line], keys.k() + u * kWidth);
      const float y = lane.dot(S, keys.r() + u * kWidth);
      if (live && lane.part == 0) {
        out.y[first + t * in.C + row] = from_float<T>(y);
        if (out.sa) out.sa[first + t * in.C + row] = sa;
      }
    }
  }
  lane.store(S, out.state + head * size + static_cast<std::int64_t>(row) * N, 1, N, live);
}

template <bool Narrow>
void launch_forward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o) {
  dispatch_storage(a.r.dtype, [&]<class T>(T*) {
    const ForwardOut<T> out{reinterpret_cast<T*>(o.y.data), o.state.as<float>(),
                            o.sa ? o.sa.as<float>() : nullptr,
                            o.chunk_states ? o.chunk_states.as<float>() : nullptr};
    dispatch_lanes<Narrow>(a.head_size, [&]<int Count, int Parts>() {
      using L = Lane<Count, Parts>;
      const int blocks = (static_cast<int>(a.head_size) + L::kLines - 1) / L::kLines;
      const std::size_t bytes = sizeof(float) * (KeyTile<L>::kFloats + L::kTile * L::kLines);
      launch("wkv7_forward_row_kernel", wkv7_forward_row_kernel<T, Count, Parts>,
             dim3(static_cast<unsigned>(heads_of(a)), static_cast<unsigned>(blocks)), dim3(L::kThreads),
             bytes, stream_of(ctx), Inputs<T>(a), out);
    });
  });
}

}  // namespace

void sequential_forward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o) {
  launch_forward<false>(ctx, a, o);
}

void sequential_step(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o) {
  launch_forward<true>(ctx, a, o);
}

}  // namespace rt::cuda::wkv7_impl
