#pragma once
#include <functional>

#include "data/block_encoder.h"
#include "data/block_reader.h"

namespace rt::data {

// Calls `consume` for every block in order, on the calling thread, while another thread reads ahead and
// `threads` more encode. What is read ahead is bounded. An exception of any of them ends all and is thrown
// here, that of a reader or encoder when its block's turn has come, so it is the same one for any number of
// threads.
void run_pipeline(BlockReader& reader, const PrepareOptions& options, const Tokenizer* tokenizer, int threads,
                  const std::function<void(const Block&, Encoded&)>& consume);

}  // namespace rt::data
