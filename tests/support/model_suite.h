#pragma once
#include "rt/nn/language_model.h"

// One declaration of a tiny model and the suite derives its tests. Register with RT_MODEL_SUITE(Rwkv7, spec,
// budget).
namespace rt::testing {

void check_model_gradients(const ModelSpec& spec);        // double reference against central differences
void check_cpu_follows_reference(const ModelSpec& spec);  // loss and every gradient, f32 and bf16
void check_model_causality(const ModelSpec& spec);
void check_steps_equal_parallel(const ModelSpec& spec);  // logits and state, token by token and in two parts
void check_recompute_bits(
    const ModelSpec& spec);  // activation checkpointing changes no bit, and saves memory
void check_micro_batch_bits(const ModelSpec& spec);  // 4 sequences at once = 4 times 1, to the bit
void check_thread_bits(const ModelSpec& spec);
void check_node_budget(const ModelSpec& spec, std::size_t per_block);
void check_overfits(const ModelSpec& spec);  // 32 tokens are learned by heart

}  // namespace rt::testing

#define RT_MODEL_SUITE(Name, spec, node_budget)                                                  \
  TEST(Name##Grad, WholeModelMatchesDifferences) { ::rt::testing::check_model_gradients(spec); } \
  TEST(Name, CpuFollowsReference) { ::rt::testing::check_cpu_follows_reference(spec); }          \
  TEST(Name, Causality) { ::rt::testing::check_model_causality(spec); }                          \
  TEST(Name, StepsEqualParallel) { ::rt::testing::check_steps_equal_parallel(spec); }            \
  TEST(Name, RecomputeBits) { ::rt::testing::check_recompute_bits(spec); }                       \
  TEST(Name, MicroBatchBits) { ::rt::testing::check_micro_batch_bits(spec); }                    \
  TEST(Name, ThreadBits) { ::rt::testing::check_thread_bits(spec); }                             \
  TEST(Name, NodeBudget) { ::rt::testing::check_node_budget(spec, node_budget); }                \
  TEST(Name, Overfits) { ::rt::testing::check_overfits(spec); }                                  \
  static_assert(true, "")
