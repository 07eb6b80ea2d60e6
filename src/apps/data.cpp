#include "apps/data.h"

#include <cstdio>
#include <string>
#include <string_view>

#include "apps/verb.h"
#include "rt/core/error.h"

namespace rt {
namespace {

constexpr Verb kVerbs[] = {
    {"prepare", "text and JSON lines to token data", data_prepare_main},
    {"stories", "generate tiny stories: token data, or text on stdout", data_stories_main},
    {"inspect", "what token data holds, also Megatron's and llm.c's", data_inspect_main},
    {"verify", "check every checksum and token of token data", data_verify_main},
    {"mix", "several sources into one, each with its share", data_mix_main},
    {"convert", "token data to and from Megatron's .bin/.idx", data_convert_main},
    {"train-bpe", "learn a byte-level BPE tokenizer from text", data_train_bpe_main},
    {"encode", "bytes on stdin to token ids on stdout", data_encode_main},
    {"decode", "token ids on stdin to bytes on stdout", data_decode_main},
};

}  // namespace

data::InputFormat input_format_of(const std::string& name) {
  if (name == "text") return data::InputFormat::Text;
  return name == "jsonl" ? data::InputFormat::Jsonl : data::InputFormat::Auto;
}

int data_main(int argc, char** argv) {
  const std::string_view verb = argc < 2 ? "--help" : argv[1];
  std::string known, help = "usage: rwkv data VERB [options]\n\nverbs:\n";
  for (const Verb& v : kVerbs) {
    if (verb == v.name) return v.run(argc - 1, argv + 1);
    known += (known.empty() ? "" : ", ") + std::string(v.name);
    std::string name = v.name;
    name.resize(10, ' ');
    help += "  " + name + v.help + "\n";
  }
  if (verb == "--help" || verb == "-h") {
    std::fputs(help.c_str(), argc < 2 ? stderr : stdout);
    return argc < 2 ? static_cast<int>(Exit::Config) : 0;
  }
  fail(Exit::Config, "rwkv data: \"{}\" is not a verb. Use one of {}.", verb, known);
}

}  // namespace rt
