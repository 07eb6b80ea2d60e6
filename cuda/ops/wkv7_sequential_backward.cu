#include "cuda/ops/wkv7_row.cuh"

namespace rt::cuda::wkv7_impl {
namespace {

// Two kernels, neither of which reduces over threads. Rows of dS are independent of each other, and give dv
// and dsa. With dsa known and sa saved, so are the columns of dS and S, and the rest are sums over rows.
template <class T>
struct BackwardIn {
  const T* dy;          // may be null: zero
  const float* dstate;  // may be null: zero
  const float* sa;
  const float* chunk_states;
  float* dsa;    // (B, T, C)
  float* slots;  // (heads, column blocks, kSlots, N, kLines)
};

// The states of a chunk take two levels: those before every kBlock-th token, and from one of them those
// before each token of a block.
constexpr int kBlock = 8, kSlots = kBlock + static_cast<int>(kWkv7Chunk) / kBlock;

template <class T>
struct BackwardOut {
  Out<T> r, w, k, v, a, b;
  Out<float> s0;
};

template <class T, int Count, int Parts>
__global__ void __launch_bounds__(Lane<Count, Parts>::kThreads)
    wkv7_backward_row_kernel(Inputs<T> in, BackwardIn<T> x, Out<T> dv) {
  using L = Lane<Count, Parts>;
  constexpr int kWidth = L::kWidth, kTile = L::kTile;
  Smem sm;
  const KeyTile<L> keys(sm);
  const L lane;
  const int head = static_cast<int>(blockIdx.x), N = in.N;
  const int row = static_cast<int>(blockIdx.y) * L::kLines + lane.line;
  const bool live = row < N;
  const std::int64_t first = in.first(head), size = static_cast<std::int64_t>(N) * N;
  float dS[Count];
  lane.load(dS, x.dstate ? x.dstate + head * size + static_cast<std::int64_t>(row) * N : nullptr, 1, N, live);
  for (std::int64_t t0 = (in.T_ - 1) / kTile * kTile; t0 >= 0; t0 -= kTile) {
    const int count = static_cast<int>(in.T_ - t0 < kTile ? in.T_ - t0 : kTile);
    __syncthreads();
    keys.load(in, head, t0, count);
    __syncthreads();
#pragma unroll 1
    for (int u = count; u-- > 0;) {
      const std::int64_t t = t0 + u, at = first + t * in.C + row;
      lane.add(dS, x.dy && live ? to_float(x.dy[at]) : 0, keys.r() + u * kWidth);
      const float dv_i = lane.dot(dS, keys.k() + u * kWidth), dsa = lane.dot(dS, keys.b() + u * kWidth);
      if (live && lane.part == 0) {
        dv.put(at, dv_i);
        x.dsa[at] = dsa;
      }
      lane.decay_and_add(dS, keys.d() + u * kWidth, dsa, keys.a() + u * kWidth);
      if (in.is_reset(head, t)) L::zero(dS);
    }
  }
}

// The vectors of a tile of tokens: over rows (N) and over this block's columns.
template <class T, class L>
struct ColumnTile {
  float *v, *sa, *dy, *dsa;          // (kTile, kWidth)
  float *r, *d, *slope, *k, *a, *b;  // (kTile, kLines)
  static constexpr int kFloats = L::kTile * (4 * L::kWidth + 6 * L::kLines);
  __device__ explicit ColumnTile(Smem& sm) {
    for (float** p : {&v, &sa, &dy, &dsa}) *p = sm.take<float>(L::kTile * L::kWidth);
    for (float** p : {&r, &d, &slope, &k, &a, &b}) *p = sm.take<float>(L::kTile * L::kLines);
  }
  __device__ void load(const Inputs<T>& in, const BackwardIn<T>& x, int head, std::int64_t t0,
                       int count) const {
    const int column0 = static_cast<int>(blockIdx.y) * L::kLines;
    __syncthreads();
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < count * L::kWidth; i += L::kThreads) {
      const int row = i % L::kWidth;
      const std::int64_t at = in.first(head) + (t0 + i / L::kWidth) * in.C + row;
      const bool has = row < in.N;
      v[i] = has ? to_float(in.v[at]) : 0;
      sa[i] = has ? x.sa[at] : 0;
      dy[i] = has && x.dy ? to_float(x.dy[at]) : 0;
      dsa[i] = has ? x.dsa[at] : 0;
    }
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < count * L::kLines; i += L::kThreads) {
      const int column = column0 + i % L::kLines;
      const std::int64_t at = in.first(head) + (t0 + i / L::kLines) * in.C + column;
      const bool has = column < in.N;
      const Decay decay = decay_of(has ? to_float(in.w[at]) : 0, in.raw);
      d[i] = exp2f(decay.log2);
      slope[i] = decay.slope * d[i];
      r[i] = has ? to_float(in.r[at]) : 0;
      k[i] = has ? to_float(in.k[at]) : 0;
      a[i] = has ? to_float(in.a[at]) : 0;
      b[i] = has ? to_float(in.b[at]) : 0;
    }
    __syncthreads();
  }
};

// dw = sum of S dS and da = sum of S dsa over the rows, where S lies at from[element * stride].
template <class L, int Count>
__device__ __forceinline__ void dot_with_slot(const L& lane, const float (&dS)[Count], const float* from,
                                              std::int64_t stride, int N, const float* dsa, float& dw,
                                              float& da) {
  float w[4] = {0, 0, 0, 0}, a[4] = {0, 0, 0, 0};
#pragma unroll
  for (int i = 0; i < Count / 4; ++i) {
    const float4 q = lane.quad(dsa, i);
    const float e[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
    for (int u = 0; u < 4; ++u) {
      const int row = lane.element(4 * i + u);
      const float s = N == L::kWidth || row < N ? from[row * stride] : 0;
      w[u] += s * dS[4 * i + u];
      a[u] += s * e[u];
    }
  }
  dw = L::total(w);
  da = L::total(a);
}

// One block's columns of one head.
template <class T, int Count, int Parts>
struct Columns {
  using L = Lane<Count, Parts>;
  static constexpr int kWidth = L::kWidth, kTile = L::kTile, kLines = L::kLines;
  static_assert(kBlock % kTile == 0);
  const Inputs<T>& in;
  const BackwardIn<T>& x;
  const BackwardOut<T>& out;
  const ColumnTile<T, L>& tile;
  L lane;
  int head, column;
  float* slots;  // of the thread's column; slot k begins k * N * kLines further
  std::int64_t first;
  bool writes;

  // Calls f(token, index in the tile) for tokens [begin, end), forwards or backwards.
  template <bool Backwards, class F>
  __device__ __forceinline__ void for_tokens(std::int64_t begin, std::int64_t end, const F& f) const {
#pragma unroll 1
    for (std::int64_t done = begin; done < end; done += kTile) {
      const std::int64_t t0 = Backwards ? begin + (end - 1 - begin) / kTile * kTile - (done - begin) : done;
      const int count = static_cast<int>(end - t0 < kTile ? end - t0 : kTile);
      tile.load(in, x, head, t0, count);
#pragma unroll 1
      for (int i = 0; i < count; ++i) {
        const int u = Backwards ? count - 1 - i : i;
        f(t0 + u, u);
      }
    }
  }
  __device__ __forceinline__ float* slot(std::int64_t k) const { return slots + k * in.N * kLines; }

  // S before token t, where it has been reset if that is due, to the state after it.
  __device__ __forceinline__ void advance(float (&S)[Count], int u) const {
    const int e = u * kLines + lane.line;
#pragma unroll
    for (int i = 0; i < Count; ++i) S[i] *= tile.d[e];
    lane.add(S, tile.b[e], tile.sa + u * kWidth);
    lane.add(S, tile.k[e], tile.v + u * kWidth);
  }
  // Slots kBlock.. from the state before the chunk.
  __device__ __forceinline__ void fill_blocks(std::int64_t begin, std::int64_t end, float (&S)[Count]) const {
    const std::int64_t last = begin + (end - 1 - begin) / kBlock * kBlock;
    lane.store(S, slot(kBlock), kLines, in.N, true);
    for_tokens<false>(begin, last, [&](std::int64_t t, int u) {
      if (in.is_reset(head, t)) L::zero(S);
      advance(S, u);
      if ((t + 1 - begin) % kBlock == 0)
        lane.store(S, slot(kBlock + (t + 1 - begin) / kBlock), kLines, in.N, true);
    });
  }
  // Slots 0.. and dr of a block.
  __device__ __forceinline__ void forward(std::int64_t begin, std::int64_t end, float (&S)[Count]) const {
    for_tokens<false>(begin, end, [&](std::int64_t t, int u) {
      if (in.is_reset(head, t)) L::zero(S);
      lane.store(S, slot(t - begin), kLines, in.N, true);
      advance(S, u);
      const float dr = lane.dot(S, tile.dy + u * kWidth);
      if (writes) out.r.put(first + t * in.C, dr);
    });
  }
  __device__ __forceinline__ void backward(std::int64_t begin, std::int64_t end, float (&dS)[Count]) const {
    for_tokens<true>(begin, end, [&](std::int64_t t, int u) {
      const int e = u * kLines + lane.line;
      lane.add(dS, tile.r[e], tile.dy + u * kWidth);
      const float dk = lane.dot(dS, tile.v + u * kWidth), db = lane.dot(dS, tile.sa + u * kWidth);
      float dw, da;
      dot_with_slot(lane, dS, slot(t - begin), kLines, in.N, tile.dsa + u * kWidth, dw, da);
      if (writes) {
        const std::int64_t at = first + t * in.C;
        out.k.put(at, dk);
        out.b.put(at, db);
        out.w.put(at, dw * tile.slope[e]);
        out.a.put(at, da);
      }
#pragma unroll
      for (int i = 0; i < Count; ++i) dS[i] *= tile.d[e];
      lane.add(dS, tile.a[e], tile.dsa + u * kWidth);
      if (in.is_reset(head, t)) L::zero(dS);
    });
  }
};

template <class T, int Count, int Parts>
__global__ void __launch_bounds__(Lane<Count, Parts>::kThreads)
    wkv7_backward_column_kernel(Inputs<T> in, BackwardIn<T> x, BackwardOut<T> out) {
  using L = Lane<Count, Parts>;
  Smem sm;
  const ColumnTile<T, L> tile(sm);
  const L lane;
  const int head = static_cast<int>(blockIdx.x), N = in.N;
  const int column = static_cast<int>(blockIdx.y) * L::kLines + lane.line;
  const bool live = column < N;
  const std::int64_t size = static_cast<std::int64_t>(N) * N,
                     block = static_cast<std::int64_t>(head) * gridDim.y + blockIdx.y;
  const Columns<T, Count, Parts> columns{in,
                                         x,
                                         out,
                                         tile,
                                         lane,
                                         head,
                                         column,
                                         x.slots + block * kSlots * N * L::kLines + lane.line,
                                         in.first(head) + column,
                                         live && lane.part == 0};
  const std::int64_t chunks = (in.T_ + kWkv7Chunk - 1) / kWkv7Chunk;
  float dS[Count], S[Count];
  lane.load(dS, x.dstate ? x.dstate + head * size + column : nullptr, N, N, live);
  for (std::int64_t c = chunks; c-- > 0;) {
    const std::int64_t begin = c * kWkv7Chunk, end = begin + kWkv7Chunk < in.T_ ? begin + kWkv7Chunk : in.T_;
    const float* before = c > 0 ? x.chunk_states + (head * (chunks - 1) + c - 1) * size
                                : (in.s0 ? in.s0 + head * size : nullptr);
    lane.load(S, before ? before + column : nullptr, N, N, live);
    columns.fill_blocks(begin, end, S);
    for (std::int64_t k = (end - 1 - begin) / kBlock; k >= 0; --k) {
      const std::int64_t from = begin + k * kBlock, to = from + kBlock < end ? from + kBlock : end;
      lane.load(S, columns.slot(kBlock + k), L::kLines, N, true);
      columns.forward(from, to, S);
      columns.backward(from, to, dS);
    }
  }
  if (!live || !out.s0.data) return;
#pragma unroll
  for (int i = 0; i < Count; ++i) {
    const int row = lane.element(i);
    if (row < N) out.s0.put(head * size + static_cast<std::int64_t>(row) * N + column, dS[i]);
  }
}

}  // namespace

void sequential_backward(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o, const Wkv7OutGrads& dout,
                         const Wkv7Grads& g) {
  const ArenaScope scope(ctx.scratch);
  const std::int64_t heads = heads_of(a), N = a.head_size;
  const TensorView dsa = ctx.scratch.alloc(a.r.shape, DType::F32, "wkv7.dsa");
  TensorView slots;
  dispatch_lanes<false>(N, [&]<int Count, int Parts>() {
    constexpr std::int64_t kLines = Lane<Count, Parts>::kLines;
    slots =
        ctx.scratch.alloc({heads, (N + kLines - 1) / kLines, kSlots, N, kLines}, DType::F32, "wkv7.block");
  });
  if (ctx.dry_run) return;
  dispatch_storage(a.r.dtype, [&]<class T>(T*) {
    const Inputs<T> in(a);
    const BackwardIn<T> x{dout.y ? reinterpret_cast<const T*>(dout.y.data) : nullptr,
                          dout.state ? dout.state.as<float>() : nullptr,
                          o.sa.as<float>(),
                          o.chunk_states ? o.chunk_states.as<float>() : nullptr,
                          dsa.as<float>(),
                          slots.as<float>()};
    const BackwardOut<T> out{Out<T>(g.r), Out<T>(g.w), Out<T>(g.k),     Out<T>(g.v),
                             Out<T>(g.a), Out<T>(g.b), Out<float>(g.s0)};
    dispatch_lanes<false>(N, [&]<int Count, int Parts>() {
      using L = Lane<Count, Parts>;
      const dim3 grid(static_cast<unsigned>(heads), static_cast<unsigned>((N + L::kLines - 1) / L::kLines));
      launch("wkv7_backward_row_kernel", wkv7_backward_row_kernel<T, Count, Parts>, grid, dim3(L::kThreads),
             sizeof(float) * KeyTile<L>::kFloats, stream_of(ctx), in, x, out.v);
      launch("wkv7_backward_column_kernel", wkv7_backward_column_kernel<T, Count, Parts>, grid,
             dim3(L::kThreads), sizeof(float) * ColumnTile<T, L>::kFloats, stream_of(ctx), in, x, out);
    });
  });
}

}  // namespace rt::cuda::wkv7_impl
