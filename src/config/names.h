#pragma once
#include "config/section.h"
#include "rt/config/run_config.h"

// What the choices of run_config.h are called in a file.
namespace rt::config {

template <>
inline constexpr auto kNames<OnExists> = std::to_array<Name<OnExists>>({{OnExists::Resume, "resume"},
                                                                        {OnExists::Error, "error"},
                                                                        {OnExists::OverwriteIfEmpty,
                                                                         "overwrite-if-empty"}});
template <>
inline constexpr auto kNames<Arch> = std::to_array<Name<Arch>>({{Arch::Rwkv7, "rwkv7"}});
template <>
inline constexpr auto kNames<DType> = std::to_array<Name<DType>>({{DType::F32, "f32"},
                                                                  {DType::BF16, "bf16"}});
template <>
inline constexpr auto kNames<TokenizerType> =
    std::to_array<Name<TokenizerType>>({{TokenizerType::Bytes, "bytes"},
                                        {TokenizerType::Chars, "chars"},
                                        {TokenizerType::RwkvWorld, "rwkv_world"},
                                        {TokenizerType::HfJson, "hf_json"},
                                        {TokenizerType::Tiktoken, "tiktoken"},
                                        {TokenizerType::Sentencepiece, "sentencepiece"}});
template <>
inline constexpr auto kNames<DocumentState> =
    std::to_array<Name<DocumentState>>({{DocumentState::Reset, "reset"}, {DocumentState::Carry, "carry"}});
template <>
inline constexpr auto kNames<Order> = std::to_array<Name<Order>>({{Order::Shuffle, "shuffle"},
                                                                  {Order::Sequential, "sequential"},
                                                                  {Order::RwkvMagicPrime,
                                                                   "rwkv_magic_prime"}});
template <>
inline constexpr auto kNames<Packing> = std::to_array<Name<Packing>>({{Packing::Concat, "concat"},
                                                                      {Packing::Pack, "pack"},
                                                                      {Packing::Pad, "pad"}});
template <>
inline constexpr auto kNames<LossMask> =
    std::to_array<Name<LossMask>>({{LossMask::None, "none"}, {LossMask::FromDataset, "from_dataset"}});
template <>
inline constexpr auto kNames<Verify> =
    std::to_array<Name<Verify>>({{Verify::None, "none"}, {Verify::Header, "header"}, {Verify::Full, "full"}});
template <>
inline constexpr auto kNames<TaskName> = std::to_array<Name<TaskName>>({{TaskName::Lambada, "lambada"},
                                                                        {TaskName::MultipleChoice,
                                                                         "multiple_choice"},
                                                                        {TaskName::Wikitext, "wikitext"}});
template <>
inline constexpr auto kNames<OptimizerType> = std::to_array<Name<OptimizerType>>({{OptimizerType::AdamW,
                                                                                   "adamw"}});
template <>
inline constexpr auto kNames<ScheduleType> =
    std::to_array<Name<ScheduleType>>({{ScheduleType::Cosine, "cosine"},
                                       {ScheduleType::Linear, "linear"},
                                       {ScheduleType::Wsd, "wsd"},
                                       {ScheduleType::Constant, "constant"}});
template <>
inline constexpr auto kNames<DecayShape> = std::to_array<Name<DecayShape>>(
    {{DecayShape::Linear, "linear"}, {DecayShape::OneMinusSqrt, "1-sqrt"}, {DecayShape::Cosine, "cosine"}});
template <>
inline constexpr auto kNames<NonFinite> = std::to_array<Name<NonFinite>>({{NonFinite::Stop, "stop"},
                                                                          {NonFinite::Skip, "skip"},
                                                                          {NonFinite::Rollback, "rollback"}});
template <>
inline constexpr auto kNames<SpikeAction> = std::to_array<Name<SpikeAction>>({{SpikeAction::None, "none"},
                                                                              {SpikeAction::Log, "log"},
                                                                              {SpikeAction::Skip, "skip"},
                                                                              {SpikeAction::Rollback,
                                                                               "rollback"}});
template <>
inline constexpr auto kNames<Recompute> = std::to_array<Name<Recompute>>({{Recompute::None, "none"},
                                                                          {Recompute::Block, "block"}});
template <>
inline constexpr auto kNames<ObjectiveType> = std::to_array<Name<ObjectiveType>>({{ObjectiveType::NextToken,
                                                                                   "next_token"}});
template <>
inline constexpr auto kNames<DiskReserve> = std::to_array<Name<DiskReserve>>({{DiskReserve::Auto, "auto"},
                                                                              {DiskReserve::None, "0"}});
template <>
inline constexpr auto kNames<ChangeClass> =
    std::to_array<Name<ChangeClass>>({{ChangeClass::Lr, "lr"},
                                      {ChangeClass::Schedule, "schedule"},
                                      {ChangeClass::Data, "data"},
                                      {ChangeClass::Batch, "batch"},
                                      {ChangeClass::Budget, "budget"}});
template <>
inline constexpr auto kNames<Console> = std::to_array<Name<Console>>(
    {{Console::Auto, "auto"}, {Console::Bar, "bar"}, {Console::Lines, "lines"}, {Console::Quiet, "quiet"}});

}  // namespace rt::config
