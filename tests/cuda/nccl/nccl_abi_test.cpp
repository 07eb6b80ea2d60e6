// cuda/dist/nccl_api.h against NCCL's own header, where there is one.
#if __has_include(<nccl.h>) && __has_include(<cuda_runtime_api.h>)
#include <nccl.h>
#define RT_HAVE_NCCL_HEADER
#endif

#include <gtest/gtest.h>

#include <cstddef>
#include <type_traits>

#include "cuda/dist/nccl_api.h"

namespace rt::dist::nccl {
namespace {

#ifdef RT_HAVE_NCCL_HEADER

template <class Ours, class Theirs>
constexpr bool same(Ours ours, Theirs theirs) {
  return static_cast<int>(ours) == static_cast<int>(theirs) && sizeof(ours) == sizeof(theirs);
}

TEST(NcclAbi, ValuesAreThoseOfTheHeader) {
  EXPECT_TRUE(same(Result::Success, ncclSuccess));
  EXPECT_TRUE(same(Result::InternalError, ncclInternalError));
  EXPECT_TRUE(same(Result::InvalidArgument, ncclInvalidArgument));
  EXPECT_TRUE(same(Result::RemoteError, ncclRemoteError));
  EXPECT_TRUE(same(Result::InProgress, ncclInProgress));
  EXPECT_TRUE(same(DataType::Uint8, ncclUint8));
  EXPECT_TRUE(same(DataType::Int32, ncclInt32));
  EXPECT_TRUE(same(DataType::Float32, ncclFloat32));
  EXPECT_TRUE(same(DataType::Float64, ncclFloat64));
  EXPECT_TRUE(same(DataType::Bfloat16, ncclBfloat16));
  EXPECT_TRUE(same(RedOp::Sum, ncclSum));
  EXPECT_TRUE(same(RedOp::Max, ncclMax));
  EXPECT_EQ(version_code(NCCL_MAJOR, NCCL_MINOR, NCCL_PATCH), NCCL_VERSION_CODE);
}

TEST(NcclAbi, TheConfigIsTheBeginningOfTheHeaders) {
  EXPECT_EQ(sizeof(UniqueId), sizeof(ncclUniqueId));
  EXPECT_LE(sizeof(Config), sizeof(ncclConfig_t));
  EXPECT_EQ(offsetof(Config, magic), offsetof(ncclConfig_t, magic));
  EXPECT_EQ(offsetof(Config, version), offsetof(ncclConfig_t, version));
  EXPECT_EQ(offsetof(Config, blocking), offsetof(ncclConfig_t, blocking));
  EXPECT_EQ(offsetof(Config, cga_cluster_size), offsetof(ncclConfig_t, cgaClusterSize));
  EXPECT_EQ(offsetof(Config, min_ctas), offsetof(ncclConfig_t, minCTAs));
  EXPECT_EQ(offsetof(Config, max_ctas), offsetof(ncclConfig_t, maxCTAs));
  EXPECT_EQ(offsetof(Config, net_name), offsetof(ncclConfig_t, netName));
  EXPECT_EQ(offsetof(Config, split_share), offsetof(ncclConfig_t, splitShare));
  const ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
  const Config ours;
  EXPECT_EQ(ours.magic, theirs.magic);
  EXPECT_EQ(ours.min_ctas, theirs.minCTAs);
  EXPECT_EQ(ours.net_name, theirs.netName);
  EXPECT_EQ(ours.split_share, theirs.splitShare);
}

// As many parameters, of the same sizes, in the same order: all that C passes on.
template <class R, class... Ours, class S, class... Theirs>
consteval bool called_alike(R (*Api::*)(Ours...), S (*)(Theirs...)) {
  if constexpr (sizeof...(Ours) != sizeof...(Theirs)) {
    return false;
  } else {
    return ((sizeof(Ours) == sizeof(Theirs) && std::is_pointer_v<Ours> == std::is_pointer_v<Theirs>)&&...);
  }
}

TEST(NcclAbi, FunctionsAreCalledAsTheHeaderSays) {
  EXPECT_TRUE(called_alike(&Api::get_version, ncclGetVersion));
  EXPECT_TRUE(called_alike(&Api::get_unique_id, ncclGetUniqueId));
  EXPECT_TRUE(called_alike(&Api::get_error_string, ncclGetErrorString));
  EXPECT_TRUE(called_alike(&Api::get_last_error, ncclGetLastError));
  EXPECT_TRUE(called_alike(&Api::comm_init_rank_config, ncclCommInitRankConfig));
  EXPECT_TRUE(called_alike(&Api::comm_get_async_error, ncclCommGetAsyncError));
  EXPECT_TRUE(called_alike(&Api::comm_finalize, ncclCommFinalize));
  EXPECT_TRUE(called_alike(&Api::comm_destroy, ncclCommDestroy));
  EXPECT_TRUE(called_alike(&Api::comm_abort, ncclCommAbort));
  EXPECT_TRUE(called_alike(&Api::all_reduce, ncclAllReduce));
  EXPECT_TRUE(called_alike(&Api::reduce_scatter, ncclReduceScatter));
  EXPECT_TRUE(called_alike(&Api::all_gather, ncclAllGather));
  EXPECT_TRUE(called_alike(&Api::broadcast, ncclBroadcast));
  EXPECT_TRUE(called_alike(&Api::send, ncclSend));
  EXPECT_TRUE(called_alike(&Api::recv, ncclRecv));
  EXPECT_TRUE(called_alike(&Api::group_start, ncclGroupStart));
  EXPECT_TRUE(called_alike(&Api::group_end, ncclGroupEnd));
}

#else

TEST(NcclAbi, ValuesAreThoseOfTheHeader) { GTEST_SKIP() << "no nccl.h here"; }

#endif

}  // namespace
}  // namespace rt::dist::nccl
