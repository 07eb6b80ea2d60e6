#pragma once
#include "cuda/ops/wkv7_chunk.cuh"

// The part of the backward pass that couples the tokens of one chunk, in f32, a key channel per thread. With
// e(i, j) the decay from after token j to token i (to before it for a), all in (0, 1]:
//   dr_i = sum_{j <= i} (dAqk_ij k_j + dAqb_ij b_j) e    da_i the same of dAak, dAab with j < i
//   dk_j = sum_{i >= j} (dAqk_ij r_i + dAak_ij a_i) e    db_j the same of dAqb, dAab
// and the gradient of log d_t is the sum of all the products r_i k_j dAqk_ij e ... whose e contains d_t. That
// sum is formed as such: as a difference of r dr and k dk it would lose most of its digits. With bounded
// decays e(i, j) is P_i / P_j as in the products; with raw ones sums over j are by Horner's rule in the
// decays, so that nothing grows however strong they are.
namespace rt::cuda::wkv7_impl {

constexpr int kEarlyRows = 11;  // of the 16: they hold about half of the pairs

// What a thread of phase "pairs" reads; pointers are to its channel, rows kLd<N> or kFloatLd<N> apart.
template <int N>
struct PairInputs {
  const bf16_t *r, *w, *k, *a, *b;
  const float* sum;                                      // log2 P
  const float4* scores;                                  // (16, 16): dAqk, dAqb, dAak, dAab
  const float *dy_state, *dx_state, *v_state, *u_state;  // rows of dY S, dX S, V dS', U dS'
  unsigned seeing, seen;
  float last;  // log2 factor of k and b against v_state and u_state, before -sum
  __device__ __forceinline__ float raw(const bf16_t* x, int t) const { return to_float(x[t * kLd<N>]); }
  __device__ __forceinline__ float at(const float* x, int t) const { return x[t * kFloatLd<N>]; }
  __device__ __forceinline__ float log_before(int t) const { return t > 0 ? at(sum, t - 1) : 0; }
};

template <int N, bool Raw>
struct Pairs {
  static constexpr bool kScaled = !Raw;
  float dk[kTokens], db[kTokens], dlog[kTokens];

  __device__ __forceinline__ Pairs() {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) dk[t] = db[t] = dlog[t] = 0;
  }

  // Rows i from Begin to End - 1. The gradients are tiles in shared memory, here as below.
  template <int Begin, int End>
  __device__ __forceinline__ void rows(const PairInputs<N>& x, bf16_t* dr, bf16_t* da) {
    // Scaled, k and b are those of Operands, and so are dk, db without the factor 1 / P.
    float d[End], k[End], b[End], tail[End];  // tail[t]: the product of the decays t to i - 1
#pragma unroll
    for (int t = 0; t < End; ++t) {
      const float scale = kScaled ? exp2_fast(-x.at(x.sum, t)) : 1.0f;
      if (!kScaled) d[t] = exp2_fast(x.at(x.sum, t) - x.log_before(t));
      k[t] = x.raw(x.k, t) * scale;
      b[t] = x.raw(x.b, t) * scale;
      tail[t] = 1;
    }
#pragma unroll
    for (int i = 1; !kScaled && i < Begin; ++i) {
#pragma unroll
      for (int t = 0; t < i; ++t) tail[t] *= d[i - 1];
    }
#pragma unroll
    for (int i = Begin; i < End; ++i) {
      const float upto = exp2_fast(x.at(x.sum, i)), before = exp2_fast(x.log_before(i));
      const float r = x.raw(x.r, i) * (kScaled ? upto : 1.0f), a = x.raw(x.a, i) * (kScaled ? before : 1.0f);
      const float rd = kScaled ? r : r * d[i];
      float q_sum = 0, a_sum = 0;
      if (!kScaled) {
#pragma unroll
        for (int t = 0; t + 1 < i; ++t) tail[t] *= d[i - 1];
        if (i > 0) tail[i - 1] = d[i - 1];
      }
#pragma unroll
      for (int j = 0; j < i; ++j) {
        const float4 s = x.scores[i * kTokens + j];
        const float to_before = kScaled || j + 1 == i ? 1.0f : tail[j + 1];
        const float er = to_before * rd, ea = to_before * a, step = kScaled ? 1.0f : d[j];
        q_sum = q_sum * step + (s.x * k[j] + s.y * b[j]);
        a_sum = a_sum * step + (s.z * k[j] + s.w * b[j]);
        dlog[j + 1] += er * q_sum;
        if (j + 1 < i) dlog[j + 1] += ea * a_sum;
        dk[j] += er * s.x + ea * s.z;
        db[j] += er * s.y + ea * s.w;
      }
      const float4 s = x.scores[i * kTokens + i];
      q_sum = q_sum * (kScaled ? 1.0f : d[i]) + (s.x * k[i] + s.y * b[i]);
      dk[i] += r * s.x;
      db[i] += r * s.y;
      if (kScaled) {
        q_sum *= upto;
        a_sum *= before;
      }
      if ((x.seeing >> i & 1u) != 0) {
        q_sum += upto * x.at(x.dy_state, i);
        a_sum += before * x.at(x.dx_state, i);
      }
      dr[i * kLd<N>] = from_float<bf16_t>(q_sum);
      da[i * kLd<N>] = from_float<bf16_t>(a_sum);
    }
  }

  // After dk and db are complete: adds what reaches the state after the chunk, and stores.
  __device__ __forceinline__ void finish_keys(const PairInputs<N>& x, bf16_t* dk_out, bf16_t* db_out) const {
#pragma unroll
    for (int j = 0; j < kTokens; ++j) {
      const float scale = exp2_fast(x.last - x.at(x.sum, j)), own = kScaled ? scale : 1.0f;
      const float state = (x.seen >> j & 1u) != 0 ? scale : 0;
      dk_out[j * kLd<N>] = from_float<bf16_t>(own * dk[j] + state * x.at(x.v_state, j));
      db_out[j * kLd<N>] = from_float<bf16_t>(own * db[j] + state * x.at(x.u_state, j));
    }
  }

  // After dlog is complete: adds the paths from before the chunk to a token, from a token to after the chunk,
  // and through (`through`: of all tokens alike).
  __device__ __forceinline__ void finish_decay(const PairInputs<N>& x, float through, bf16_t* dw) {
    float from_before = 0;
#pragma unroll
    for (int t = kTokens; t-- > 0;) {
      const bool sees = (x.seeing >> t & 1u) != 0;
      if (sees) from_before += x.raw(x.r, t) * exp2_fast(x.at(x.sum, t)) * x.at(x.dy_state, t);
      dlog[t] += from_before;
      if (sees) from_before += x.raw(x.a, t) * exp2_fast(x.log_before(t)) * x.at(x.dx_state, t);
    }
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const float slope = decay_fast(x.raw(x.w, t), Raw).slope;
      dw[t * kLd<N>] = from_float<bf16_t>((dlog[t] + through) * slope);
      if ((x.seen >> t & 1u) != 0) {
        const float scale = exp2_fast(x.last - x.at(x.sum, t));
        through += scale * (x.raw(x.k, t) * x.at(x.v_state, t) + x.raw(x.b, t) * x.at(x.u_state, t));
      }
    }
  }
};

}  // namespace rt::cuda::wkv7_impl
