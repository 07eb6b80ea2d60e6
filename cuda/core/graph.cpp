#include "rt/core/graph.h"

#include <cuda_runtime_api.h>

#include "cuda/core/check.h"

namespace rt::cuda {

void graph_begin(void* stream) {
  // Thread-local: what other threads do meanwhile (prefetching, logging) is not part of the recording.
  RT_CUDA_CHECK(cudaStreamBeginCapture(static_cast<cudaStream_t>(stream), cudaStreamCaptureModeThreadLocal));
}

void* graph_end(void* stream, std::string* why) {
  cudaGraph_t graph = nullptr;
  cudaError_t error = cudaStreamEndCapture(static_cast<cudaStream_t>(stream), &graph);
  cudaGraphExec_t executable = nullptr;
  if (error == cudaSuccess) error = cudaGraphInstantiate(&executable, graph, 0);
  if (graph) RT_CUDA_CHECK_NOTHROW(cudaGraphDestroy(graph));
  if (error == cudaSuccess) return executable;
  cudaGetLastError();  // a recording that failed leaves an error that belongs to no later call
  *why = cudaGetErrorString(error);
  return nullptr;
}

void graph_launch(void* graph, void* stream) {
  RT_CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), static_cast<cudaStream_t>(stream)));
}

void graph_destroy(void* graph) noexcept {
  RT_CUDA_CHECK_NOTHROW(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)));
}

}  // namespace rt::cuda
