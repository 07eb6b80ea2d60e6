#pragma once
#include <memory>
#include <string>

#include "rt/data/prepare.h"
#include "rt/data/stored_tokens.h"

namespace rt {

// The verbs of `rwkv data`; argv[0] is the verb.
int data_prepare_main(int argc, char** argv);
int data_stories_main(int argc, char** argv);
int data_inspect_main(int argc, char** argv);
int data_verify_main(int argc, char** argv);
int data_mix_main(int argc, char** argv);
int data_convert_main(int argc, char** argv);
int data_train_bpe_main(int argc, char** argv);
int data_encode_main(int argc, char** argv);
int data_decode_main(int argc, char** argv);

data::InputFormat input_format_of(const std::string& name);  // the value of --format
// Token data in any format. Exit::Data when `path` holds none. See data::open_source for `tokenizer`.
std::unique_ptr<data::StoredTokens> open_token_data(const std::string& path,
                                                    const data::Tokenizer* tokenizer);

}  // namespace rt
