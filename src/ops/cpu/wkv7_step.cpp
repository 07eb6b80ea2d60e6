#include "ops/cpu/wkv7.h"

namespace rt::cpu {
namespace {

using namespace wkv7_impl;

constexpr std::int64_t kMaxHead = 256;

// 16 rows of S at a time, [value][key] as the caller keeps it: S is read and written once, the sums over keys
// are taken 16 at a time.
template <class T>
void step_head(const Wkv7Args& x, const Wkv7Outs& o, std::int64_t head) {
  const std::int64_t N = x.head_size, H = x.r.shape[2] / N, batch = head / H;
  const std::int64_t at = row_offset(x, batch, 0, head % H);
  float d[kMaxHead], r[kMaxHead], k[kMaxHead], v[kMaxHead], a[kMaxHead], b[kMaxHead];
  decay_row(x.w.as<T>() + at, N, x.decay, d);
  widen(x.r.as<T>() + at, r, N);
  widen(x.k.as<T>() + at, k, N);
  widen(x.v.as<T>() + at, v, N);
  widen(x.a.as<T>() + at, a, N);
  widen(x.b.as<T>() + at, b, N);
  float* S = o.state.as<float>() + head * N * N;
  if (is_reset(x, batch, 0)) std::fill_n(S, N * N, 0.0f);
  float partial[kSide * kNative], sums[kSide];
  for (std::int64_t i = 0; i < N; i += kSide) {
    for (int u = 0; u < kSide; ++u) {
      const float* row = S + (i + u) * N;
      vn sum{};
      for (std::int64_t c = 0; c < N; c += kNative) sum += load_native(row + c) * load_native(a + c);
      store_native(partial + u * kNative, sum);
    }
    sum_rows(partial, kNative, sums);
    for (int u = 0; u < kSide; ++u) {
      float* row = S + (i + u) * N;
      const float sa = sums[u], v_i = v[i + u];
      vn sum{};
      for (std::int64_t c = 0; c < N; c += kNative) {
        const vn s =
            load_native(row + c) * load_native(d + c) + load_native(b + c) * sa + load_native(k + c) * v_i;
        store_native(row + c, s);
        sum += s * load_native(r + c);
      }
      store_native(partial + u * kNative, sum);
    }
    sum_rows(partial, kNative, sums);
    for (int u = 0; u < kSide; u += kNative) simd::store(o.y.as<T>() + at + i + u, simd::load(sums + u));
  }
}

}  // namespace

void wkv7_step(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o) {
  if (ctx.dry_run) return;
  RT_CHECK(a.r.shape[1] == 1 && a.s0.data == o.state.data, "wkv7 step: one token and the state in place");
  const std::int64_t heads = a.r.shape[0] * (a.r.shape[2] / a.head_size);
  simd::dispatch_storage(a.r.dtype, [&]<class T>(T) {
    parallel_for(heads, 4, [&](std::int64_t first, std::int64_t end) {
      const FlushDenormals flush;
      for (std::int64_t i = first; i < end; ++i) step_head<T>(a, o, i);
    });
  });
}

}  // namespace rt::cpu
