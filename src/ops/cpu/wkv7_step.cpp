#include "ops/cpu/wkv7.h"

namespace rt::cpu {
namespace {

using namespace wkv7_impl;

constexpr std::int64_t kMaxHead = 256;

// 16 rows of S at a time, [value][key] as the caller keeps it: S is read and written once, the sums over keys
// are taken 16 at a time.
template <class T>
void step_head(const Wkv7Args& a, const Wkv7Outs& o, std::int64_t head) {
  const std::int64_t N = a.head_size, H = a.r.shape[2] / N, b = head / H;
  const std::int64_t at = row_offset(a, b, 0, head % H);
  const T *wr = a.w.as<T>() + at, *kr = a.k.as<T>() + at, *vr = a.v.as<T>() + at, *rr = a.r.as<T>() + at;
  const T *ar = a.a.as<T>() + at, *br = a.b.as<T>() + at;
  const bool cut = is_reset(a, b, 0);
  vf d[kMaxHead / kLanes];
  for (std::int64_t c = 0; c < N; c += kLanes) d[c / kLanes] = decay(simd::load(wr + c), a.decay).d;
  float* S = o.state.as<float>() + head * N * N;
  if (cut) std::fill_n(S, N * N, 0.0f);
  float partial[kLanes * kLanes];
  for (std::int64_t i = 0; i < N; i += kLanes) {
    float* rows = S + i * N;
    float sa[kLanes], v[kLanes];
    for (int u = 0; u < kLanes; ++u) {
      vf sum{};
      for (std::int64_t c = 0; c < N; c += kLanes) sum += simd::load(rows + u * N + c) * simd::load(ar + c);
      simd::store(partial + u * kLanes, sum);
    }
    simd::store(sa, sum_rows(partial, kLanes));
    simd::store(v, simd::load(vr + i));
    for (int u = 0; u < kLanes; ++u) {
      vf sum{};
      for (std::int64_t c = 0; c < N; c += kLanes) {
        const vf s = simd::load(rows + u * N + c) * d[c / kLanes] + simd::load(br + c) * sa[u] +
                     simd::load(kr + c) * v[u];
        simd::store(rows + u * N + c, s);
        sum += s * simd::load(rr + c);
      }
      simd::store(partial + u * kLanes, sum);
    }
    simd::store(o.y.as<T>() + at + i, sum_rows(partial, kLanes));
  }
}

}  // namespace

void wkv7_step(ExecContext& ctx, const Wkv7Args& a, const Wkv7Outs& o) {
  if (ctx.dry_run) return;
  RT_CHECK(a.r.shape[1] == 1 && a.s0.data == o.state.data, "wkv7 step: one token and the state in place");
  const std::int64_t heads = a.r.shape[0] * (a.r.shape[2] / a.head_size);
  simd::dispatch_storage(a.r.dtype, [&]<class T>(T) {
    parallel_for(heads, 4, [&](std::int64_t first, std::int64_t end) {
      for (std::int64_t i = first; i < end; ++i) step_head<T>(a, o, i);
    });
  });
}

}  // namespace rt::cpu
