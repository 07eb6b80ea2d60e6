#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <compare>
#include <map>
#include <mutex>

#include "cuda/core/gemm.h"

namespace rt::cuda {
namespace {

// What cuBLAS itself asks for on sm_90; enough for the split sums of every shape here.
constexpr std::int64_t kWorkspaceBytes = std::int64_t{32} << 20;
constexpr int kMaxDevices = 64;

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    fail(Exit::Failure, "cublas: {}: {}", what, cublasLtGetStatusString(status));
  }
}

cudaDataType_t cuda_type(DType dtype) { return dtype == DType::BF16 ? CUDA_R_16BF : CUDA_R_32F; }

// cuBLASLt takes the largest power of two, up to 256, that divides an address.
std::uint32_t alignment(const void* data) {
  const std::uintptr_t bits = reinterpret_cast<std::uintptr_t>(data) | 256;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

// One stored matrix as cuBLASLt sees it: column-major, hence the transpose of ours.
struct Stored {
  std::int64_t rows, cols, ld, batch_stride;
  DType dtype;
  std::uint32_t align;
  auto operator<=>(const Stored&) const =
      default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 misreads it
};

// Everything the choice of an algorithm may depend on.
struct Key {
  int device;
  Stored first, second, result;
  bool transpose_first, transpose_second, has_bias;
  std::uint32_t bias_align;
  std::int64_t batch;
  auto operator<=>(const Key&) const = default;  // NOLINT(modernize-use-nullptr)
};

struct Plan {
  cublasLtMatrixLayoutOpaque_t first, second, result;
  cublasLtMatmulAlgo_t algo;
};

// C^T = op(B)^T op(A)^T, all of them column-major.
Key key_of(const GemmArgs& g, int device) {
  const auto stored = [](const Matrix& m, std::int64_t rows, std::int64_t cols) {
    return Stored{rows, cols, m.ld, m.batch_stride, m.dtype, alignment(m.data)};
  };
  Key key{};
  key.device = device;
  key.first = g.transpose_b ? stored(g.b, g.K, g.N) : stored(g.b, g.N, g.K);
  key.second = g.transpose_a ? stored(g.a, g.M, g.K) : stored(g.a, g.K, g.M);
  key.result = stored(g.c, g.N, g.M);
  key.transpose_first = g.transpose_b;
  key.transpose_second = g.transpose_a;
  key.has_bias = static_cast<bool>(g.bias);
  key.bias_align = g.bias ? alignment(g.bias.data) : 0;
  key.batch = g.batch;
  return key;
}

cublasLtMatrixLayoutOpaque_t layout(const Stored& m, std::int64_t batch) {
  cublasLtMatrixLayoutOpaque_t out;
  check(cublasLtMatrixLayoutInit(&out, cuda_type(m.dtype), static_cast<std::uint64_t>(m.rows),
                                 static_cast<std::uint64_t>(m.cols), m.ld),
        "matrix layout");
  if (batch == 1) return out;
  const auto count = static_cast<std::int32_t>(batch);
  check(cublasLtMatrixLayoutSetAttribute(&out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
        "batch count");
  check(cublasLtMatrixLayoutSetAttribute(&out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &m.batch_stride,
                                         sizeof m.batch_stride),
        "batch stride");
  return out;
}

// Of one call, because it holds the bias pointer.
cublasLtMatmulDescOpaque_t operation(const Key& key, const void* bias) {
  cublasLtMatmulDescOpaque_t out;
  check(cublasLtMatmulDescInit(&out, CUBLAS_COMPUTE_32F, CUDA_R_32F), "operation");
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulDescSetAttribute(&out, attribute, &value, sizeof value), "operation attribute");
  };
  const auto op = [](bool transpose) {
    return static_cast<std::int32_t>(transpose ? CUBLAS_OP_T : CUBLAS_OP_N);
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, op(key.transpose_first));
  set(CUBLASLT_MATMUL_DESC_TRANSB, op(key.transpose_second));
  if (key.has_bias) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(CUBLASLT_EPILOGUE_BIAS));
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  return out;
}

cublasLtMatmulPreferenceOpaque_t preference(const Key& key) {
  cublasLtMatmulPreferenceOpaque_t out;
  check(cublasLtMatmulPreferenceInit(&out), "preference");
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(&out, attribute, &value, sizeof value),
          "preference attribute");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(kWorkspaceBytes));
  // Parts of a split sum may only be kept in f32 in the workspace and added by a second kernel: no rounding
  // to the output's dtype in between, and a fixed order.
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.first.align);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.second.align);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.result.align);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.result.align);
  return out;
}

// Handles and plans live until the process ends: the driver may be gone before static destructors run.
class Library {
 public:
  static Library& get() {
    static auto* library = new Library;
    return *library;
  }

  cublasLtHandle_t handle(int device) {
    const std::lock_guard lock(mutex_);
    return locked_handle(device);
  }

  // Map nodes do not move, so the reference stays good while others are added.
  const Plan& plan(const Key& key, const void* bias) {
    const std::lock_guard lock(mutex_);
    const auto found = plans_.find(key);
    return found != plans_.end() ? found->second : plans_.emplace(key, make(key, bias)).first->second;
  }

 private:
  cublasLtHandle_t locked_handle(int device) {
    RT_CHECK(device >= 0 && device < kMaxDevices, "cublas: device {}", device);
    cublasLtHandle_t& handle = handles_[static_cast<std::size_t>(device)];
    if (!handle) check(cublasLtCreate(&handle), "create");
    return handle;
  }

  Plan make(const Key& key, const void* bias) {
    Plan plan{layout(key.first, key.batch), layout(key.second, key.batch), layout(key.result, key.batch), {}};
    auto op = operation(key, bias);
    auto wanted = preference(key);
    cublasLtMatmulHeuristicResult_t result{};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(locked_handle(key.device), &op, &plan.first, &plan.second,
                                       &plan.result, &plan.result, &wanted, 1, &result, &count);
    if (status != CUBLAS_STATUS_SUCCESS || count == 0 || result.state != CUBLAS_STATUS_SUCCESS) {
      fail(Exit::Failure, "cublas: no algorithm for {} x {} x {} of {} into {}: {}", key.result.cols,
           key.result.rows, key.transpose_first ? key.first.rows : key.first.cols, name(key.first.dtype),
           name(key.result.dtype), cublasLtGetStatusString(status));
    }
    plan.algo = result.algo;
    return plan;
  }

  std::mutex mutex_;
  std::array<cublasLtHandle_t, kMaxDevices> handles_{};
  std::map<Key, Plan> plans_;
};

}  // namespace

void gemm(ExecContext& ctx, const GemmArgs& g) {
  check_gemm(g);
  const ArenaScope scope(ctx.scratch);
  const TensorView workspace = ctx.scratch.alloc({kWorkspaceBytes}, DType::U8, "gemm.workspace");
  if (ctx.dry_run) return;
  const Key key = key_of(g, ctx.device.index);
  Plan plan = Library::get().plan(key, g.bias.data);
  auto op = operation(key, g.bias.data);
  check(cublasLtMatmul(Library::get().handle(ctx.device.index), &op, &g.alpha, g.b.data, &plan.first,
                       g.a.data, &plan.second, &g.beta, g.c.data, &plan.result, g.c.data, &plan.result,
                       &plan.algo, workspace.data, static_cast<std::size_t>(kWorkspaceBytes),
                       static_cast<cudaStream_t>(ctx.stream.native())),
        "matmul");
}

}  // namespace rt::cuda
