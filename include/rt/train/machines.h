#pragma once
#include <span>
#include <string_view>

namespace rt {

// A cluster of equal nodes, as the scale model sees it. Rates are per GPU and in one direction.
struct Machine {
  std::string_view name;       // h100x8: eight a node
  std::string_view what;       // for people
  int gpus_per_node = 1;       //
  double nominal = 0;          // FLOP/s, dense bf16 with f32 sums, by the data sheet: what MFU is a share of
  double matmul = 0;           // FLOP/s, the best that large bf16 products reach
  double copy = 0;             // bytes/s, read and written together, of a large copy in device memory
  double memory = 0;           // bytes, as the driver reports them
  double link = 0;             // bytes/s to the others of the node: bus bandwidth of ring collectives
  double network = 0;          // bytes/s to other nodes, by the GPU's share of the node's adapters
  double link_latency = 0;     // seconds of one ring step within the node
  double network_latency = 0;  // seconds of one ring step between nodes
};

std::span<const Machine> machines();                 // src/train/machines.cpp: each constant with its source
const Machine& find_machine(std::string_view name);  // Exit::Config, naming the known ones

}  // namespace rt
