#include "cuda/ops/wkv7_chunk_gradients.cuh"

namespace rt::cuda::wkv7_impl {
namespace {

// The blocks of pair products of left 0 and 1, of 32 rows each, with right 0 and 1: of 0 with 0, 0 with 1, 1
// with 0, 1 with 1, where tokens of left 1 see only earlier ones. Warp 2 n + i has chunk i of left n. Those
// of left 1 put the blocks on the diagonal of the last to ab too unless that is null.
__device__ __forceinline__ void make_blocks(const IntervalMemory& m, const bf16_t* left, const bf16_t* right,
                                            const Starts& starts, float* ab) {
  const int i = warp_id() % 2, n = warp_id() / 2;
  Both c;
  clear(c);
  start_products();
  add_product<false>(c, left, right);
  finish_products();
#pragma unroll
  for (int t = 0; t < 2; ++t) {
    const Wide& x = half_of(c, t);
    float diagonal[2][4];
#pragma unroll
    for (int e = 0; e < 8; ++e) diagonal[e / 4][e % 4] = i == 0 ? x[0][e / 4][e % 4] : x[1][e / 4][e % 4];
    keep_lower(diagonal, n > 0);
    put_pairs(m.block(2 * n + t, i, i), diagonal);
    if (i == 1) put_pairs(m.block(2 * n + t, 1, 0), x[0]);
    if (ab && n == 1 && t == 1) put_ab(ab, diagonal);
  }
  if (starts.any()) {
#pragma unroll 1
    for (int t = 0; t < 2; ++t) {
#pragma unroll 1
      for (int j = 0; j <= i; ++j) part_pairs(m.block(2 * n + t, i, j), kTokens * i, kTokens * j, starts);
    }
    if (ab && n == 1) part_ab(ab, kTokens * i, starts);
  }
}

// U and dX to their tiles, and dv, of the warp's 16 values.
__device__ __forceinline__ void value_gradients(const IntervalMemory& m, const Starts& starts,
                                                const StateRows& states, Packed& dv_out) {
  const int value = 16 * warp_id();
  float z_all[4][4];
  Both dvu;
  Wide &z = reinterpret_cast<Wide&>(z_all), &dv = half_of(dvu, 0), &du = half_of(dvu, 1);
  clear(z);
  clear(dvu);
  start_products();
  add_product(z_all, states.before, m.a());
  add_product(dvu, states.after, m.k());
  finish_products();
  if (starts.any()) {
    keep_columns(z, starts.seeing());
    keep_columns(du, starts.seen());
    keep_columns(dv, starts.seen());
  }
  unsigned v[2][4], dy[2][4];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    load_a_transposed(v[i], m.v(), kTokens * i, value);
    load_a_transposed(dy[i], m.dy(), kTokens * i, value);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j <= i; ++j) {
      add_pairs_transposed(dv[j], dy[i], m.block(0, i, j));
      add_pairs_transposed(du[j], dy[i], m.block(1, i, j));
      add_pairs(z[i], v[j], m.block(2, i, j));
    }
  }
  Wide u, dx;
  unsigned f[4], dx1[4];
  solve<true>(u[0], z[0], m.inv(0));
  solve<false>(dx[1], du[1], m.inv(1));
  as_a(f, u[0]);
  add_pairs(z[1], f, m.block(3, 1, 0));
  as_a(dx1, dx[1]);
  add_pairs_transposed(du[0], dx1, m.block(3, 1, 0));
  solve<true>(u[1], z[1], m.inv(1));
  solve<false>(dx[0], du[0], m.inv(0));
  as_a(f, dx[0]);
  add_pairs_transposed(dv[0], f, m.block(2, 0, 0));
  add_pairs_transposed(dv[0], dx1, m.block(2, 1, 0));
  add_pairs_transposed(dv[1], dx1, m.block(2, 1, 1));
  pack_transposed(dv_out, u);
  put_packed(m.u(), dv_out, value);
  pack_transposed(dv_out, dx);
  put_packed(m.dx(), dv_out, value);
  pack_transposed(dv_out, dv);
}

// Of a row's 32 tokens, as a lane has them, the sum from each token on: x[i][u][e], x[i][u][e + 1] for row e
// / 2.
__device__ __forceinline__ void sum_from_each(Wide& x, int e) {
  const int q = lane_id() % 4;
  float after = 0;
#pragma unroll
  for (int n = 4; n-- > 0;) {
    float &x0 = x[n / 2][n % 2][e], &x1 = x[n / 2][n % 2][e + 1];
    const float pair = x0 + x1;
    float sum = pair;  // of this lane's tokens and the later ones of the tile
    const float next = __shfl_down_sync(kFullMask, sum, 1);
    if (q < 3) sum += next;
    const float two_on = __shfl_down_sync(kFullMask, sum, 2);
    if (q < 2) sum += two_on;
    const float total = __shfl_sync(kFullMask, sum, lane_id() / 4 * 4);
    sum += after;
    x1 += sum - pair;
    x0 = sum;
    after += total;
  }
}

// The gradients of r, a, k, b, w for the warp's 16 keys. That of log d_t is the sum of the products q_i k_j
// dAqk_ij (and so on) over all paths from j to i that pass t: j < t <= i, for a_i in place of q_i j < t < i.
// Paths that come from before the interval pass all t up to their end, and so on. As a sum from t on,
//   sum_{i >= t} (q_i dq_i + a_i da_i - k_i dk_i - b_i db_i) - a_t da_t + all that goes beyond the interval:
// what does not pass t is in it twice, with both signs, and cancels to f32's rounding because both are made
// of the same bf16 factors.
__device__ __forceinline__ void key_gradients(const IntervalMemory& m, const Starts& starts,
                                              Packed (&out)[5]) {
  const int key = 16 * warp_id(), g = lane_id() / 4;
  Both dqa, dkb;
  Wide &dq = half_of(dqa, 0), &da = half_of(dqa, 1), &dk = half_of(dkb, 0), &db = half_of(dkb, 1), sums;
  float through[2][4], beyond[2] = {0, 0};
  clear(dqa);
  clear(dkb);
  clear(through);
  start_products();
  add_product<true>(dqa, m.S(), m.dy());
  add_product<true>(dkb, m.dS(), m.v());
  finish_products();
#pragma unroll 2
  for (int i = 0; i < kN; i += 16) {
    unsigned s[4], f[4];
    load_a_transposed(s, m.S(), i, key);
    load_b_transposed(f, m.dS(), i, key);
    multiply(through, s, f);
  }
  unsigned q[2][4], a[2][4], k[2][4], b[2][4];  // (keys x tokens): elements as those of a Wide
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    load_a_transposed(q[i], m.q(), kTokens * i, key);
    load_a_transposed(a[i], m.a(), kTokens * i, key);
    load_a_transposed(k[i], m.k(), kTokens * i, key);
    load_a_transposed(b[i], m.b(), kTokens * i, key);
  }
  if (starts.any()) {
    keep_columns(dq, starts.seeing());
    keep_columns(da, starts.seeing());
    keep_columns(dk, starts.seen());
    keep_columns(db, starts.seen());
    clear(through);
  }
  each_pair([&](int i, int u, int e) {
    const float2 ks = unpack2(k[i][2 * u + e / 2]), bs = unpack2(b[i][2 * u + e / 2]);
    beyond[e / 2] +=
        ks.x * dk[i][u][e] + ks.y * dk[i][u][e + 1] + bs.x * db[i][u][e] + bs.y * db[i][u][e + 1];
  });
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j <= i; ++j) {
      add_pairs(dq[i], k[j], m.block(0, i, j));
      add_pairs(dq[i], b[j], m.block(1, i, j));
      add_pairs(da[i], k[j], m.block(2, i, j));
      add_pairs(da[i], b[j], m.block(3, i, j));
      add_pairs_transposed(dk[j], q[i], m.block(0, i, j));
      add_pairs_transposed(db[j], q[i], m.block(1, i, j));
      add_pairs_transposed(dk[j], a[i], m.block(2, i, j));
      add_pairs_transposed(db[j], a[i], m.block(3, i, j));
    }
  }
  each_pair([&](int i, int u, int e) {
    const int f = 2 * u + e / 2;
    const float2 qs = unpack2(q[i][f]), as = unpack2(a[i][f]), ks = unpack2(k[i][f]), bs = unpack2(b[i][f]);
    sums[i][u][e] = qs.x * dq[i][u][e] + as.x * da[i][u][e] - ks.x * dk[i][u][e] - bs.x * db[i][u][e];
    sums[i][u][e + 1] =
        qs.y * dq[i][u][e + 1] + as.y * da[i][u][e + 1] - ks.y * dk[i][u][e + 1] - bs.y * db[i][u][e + 1];
  });
  // The diagonal of `through`, and what goes beyond, for rows g and g + 8 in all lanes of g.
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float own = g % 2 ? through[r][2 * r + 1] : through[r][2 * r];
    beyond[r] += __shfl_xor_sync(kFullMask, beyond[r], 1);
    beyond[r] += __shfl_xor_sync(kFullMask, beyond[r], 2);
    beyond[r] += __shfl_sync(kFullMask, own, 4 * g + g / 2);
    sum_from_each(sums, 2 * r);
  }
  unsigned slope[2][4];
#pragma unroll
  for (int i = 0; i < 2; ++i) load_a_transposed(slope[i], m.w(), kTokens * i, key);
  each_pair([&](int i, int u, int e) {
    const int token = kTokens * i + 8 * u + lane_id() % 4 * 2, channel = key + g + 4 * e;
    const float2 as = unpack2(a[i][2 * u + e / 2]), slopes = unpack2(slope[i][2 * u + e / 2]);
    sums[i][u][e] = (sums[i][u][e] + beyond[e / 2] - as.x * da[i][u][e]) * slopes.x;
    sums[i][u][e + 1] = (sums[i][u][e + 1] + beyond[e / 2] - as.y * da[i][u][e + 1]) * slopes.y;
    const float2 P = *reinterpret_cast<const float2*>(m.P(channel, token));
    const float before = token > 0 ? *m.P(channel, token - 1) : 1.0f;
    const float2 up = make_float2(rcp_fast(P.x), rcp_fast(P.y));
    dq[i][u][e] *= P.x;
    dq[i][u][e + 1] *= P.y;
    da[i][u][e] *= before;
    da[i][u][e + 1] *= P.x;
    dk[i][u][e] *= up.x;
    dk[i][u][e + 1] *= up.y;
    db[i][u][e] *= up.x;
    db[i][u][e + 1] *= up.y;
  });
  pack_transposed(out[0], dq);
  pack_transposed(out[1], da);
  pack_transposed(out[2], dk);
  pack_transposed(out[3], db);
  pack_transposed(out[4], sums);
}

// Blocks that a multiprocessor has the shared memory for.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr int kGradientBlocks = 2;
#else
constexpr int kGradientBlocks = 3;
#endif

__global__ void __launch_bounds__(kGradientThreads, kGradientBlocks)
    wkv7_gradient_interval_kernel(Inputs<bf16_t> in, GradientIn x, const __grid_constant__ GradientOut out) {
  Smem sm;
  const IntervalMemory m(sm);
  const Place p(in);
  const int warp = warp_id();
  const std::int64_t first = p.first(in);
  const RowCopies<2, kGradientThreads> rows(first, in.C, p.live);
  rows.request(m.w(), in.w, p.live);
  cp_async_commit();
  rows.request(m.q(), in.r, p.live);
  rows.request(m.a(), in.a, p.live);
  rows.request(m.k(), in.k, p.live);
  rows.request(m.b(), in.b, p.live);
  rows.request(m.v(), in.v, p.live);
  rows.request(m.dy(), x.dy ? x.dy : in.w, x.dy ? p.live : 0);
  cp_async_commit();
  const bool start = start_here(in, static_cast<int>(p.head), p.t0, kInterval);
  const StateRows states(in, x, p);
  cp_async_wait<1>();
  __syncthreads();
  const Columns columns(m, p.live);
  states.put(m);
  const Starts starts = starts_of(start);
  cp_async_wait<0>();
  __syncthreads();
  columns.scale(m);
  publish_tiles();
  __syncthreads();
  make_blocks(m, m.q(), m.k(), starts, m.ab(warp % 2));
  if (warp > 1) {
    __syncwarp();
    invert(m.ab(warp % 2), m.inv(warp % 2));
  }
  Packed dv, to_keys[5];
  __syncthreads();
  value_gradients(m, starts, states, dv);
  publish_tiles();
  __syncthreads();
  make_blocks(m, m.dy(), m.v(), starts, nullptr);
  __syncthreads();
  key_gradients(m, starts, to_keys);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 4; ++i) put_packed(m.tiles(i), to_keys[i], 16 * warp);
  put_packed(m.v(), dv, 16 * warp);
  put_packed(m.u(), to_keys[4], 16 * warp);
  __syncthreads();
  store_tiles(m, out, first, in.C, p.live);
}

}  // namespace

void interval_gradients(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o, const Wkv7OutGrads& dout,
                        const TensorView& dstates, const Wkv7Grads& g) {
  const GradientOut out{{Out<bf16_t>(g.r), Out<bf16_t>(g.a), Out<bf16_t>(g.k), Out<bf16_t>(g.b),
                         Out<bf16_t>(g.v), Out<bf16_t>(g.w)}};
  const std::int64_t B = a.r.shape[0], H = heads_of(a) / B, intervals = dstates.shape[1];
  const GradientIn in{reinterpret_cast<const bf16_t*>(dout.y.data),
                      reinterpret_cast<const bf16_t*>(o.chunk_states.data),
                      reinterpret_cast<const bf16_t*>(dstates.data)};
  RT_CHECK(B < 65536 && intervals < 65536,
           "wkv7: {} sequences of {} tokens are too much for one backward pass", B, a.r.shape[1]);
  RT_LAUNCH(wkv7_gradient_interval_kernel,
            dim3(static_cast<unsigned>(H), static_cast<unsigned>(intervals), static_cast<unsigned>(B)),
            dim3(kGradientThreads), IntervalMemory::kBytes, stream_of(ctx), Inputs<bf16_t>(a), in, out);
}

}  // namespace rt::cuda::wkv7_impl
