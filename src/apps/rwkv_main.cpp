// rwkv VERB ...
#include <cstdio>
#include <string>
#include <string_view>

#include "apps/guard.h"
#include "apps/verb.h"
#include "apps/version.h"
#include "rt/core/error.h"

namespace {

constexpr rt::Verb kVerbs[] = {
    {"check", "say what a run would take, and what is wrong with its config", rt::check_main},
    {"data", "prepare, inspect and verify training data", rt::data_main},
    {"generate", "continue a prompt", rt::generate_main},
    {"eval", "loss, perplexity and bits per byte on a text", rt::eval_main},
    {"inspect", "list and check what a checkpoint holds", rt::inspect_main},
    {"verify", "compare the implementation with its references", rt::verify_main},
    {"doctor", "look at limits, disk, GPUs and network before a run does", rt::doctor_main},
    {"bench", "measure this machine: gemm, wkv7, step, data", rt::bench_main},
};

std::string usage() {
  std::string text = "usage: rwkv VERB [options]\n\nverbs:\n";
  for (const rt::Verb& verb : kVerbs) {
    std::string name = verb.name;
    name.resize(10, ' ');
    text += "  " + name + verb.help + "\n";
  }
  return text +
         "\nrwkv VERB --help explains one; rwkv --version says what was built in.\n"
         "Training itself is rwkv-train CONFIG.yaml.\n";
}

int dispatch(int argc, char** argv) {
  if (argc < 2) {
    std::fputs(usage().c_str(), stderr);
    return static_cast<int>(rt::Exit::Config);
  }
  const std::string_view verb = argv[1];
  if (verb == "--help" || verb == "-h") {
    std::fputs(usage().c_str(), stdout);
    return 0;
  }
  if (verb == "--version") {
    std::fputs(rt::version_text("rwkv").c_str(), stdout);
    return 0;
  }
  std::string known;
  for (const rt::Verb& v : kVerbs) {
    if (verb == v.name) return v.run(argc - 1, argv + 1);
    known += (known.empty() ? "" : ", ") + std::string(v.name);
  }
  rt::fail(rt::Exit::Config, "rwkv: \"{}\" is not a verb. Use one of {}.", verb, known);
}

}  // namespace

int main(int argc, char** argv) {
  return rt::guarded([&] { return dispatch(argc, argv); });
}
