#include <chrono>
#include <cstdio>

#include "apps/model_options.h"
#include "apps/verb.h"
#include "rt/core/parallel.h"
#include "rt/infer/sampler.h"
#include "rt/infer/session.h"
#include "rt/train/machine.h"
#include "rt/train/signals.h"

namespace rt {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct GenerateOptions {
  ModelOptions model;
  std::string prompt;
  std::int64_t tokens = 256, top_k = 0, seed = 0, stats = 0;
  double temperature = 1.0, top_p = 1.0;
};

// Text goes out as it comes: at most the bytes of one unfinished character are held back.
void put(const std::string& text) {
  if (text.empty()) return;
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void print_rate(const char* what, std::uint64_t position, std::int64_t tokens, double seconds) {
  std::fprintf(stderr, "[%s] position=%llu, tokens=%lld, tokens_per_s=%.1f, rss_bytes=%zu\n", what,
               static_cast<unsigned long long>(position), static_cast<long long>(tokens),
               static_cast<double>(tokens) / std::max(seconds, 1e-9), rss_bytes());
}

int generate(const GenerateOptions& o) {
  Sampler sampler({o.temperature, o.top_p, o.top_k, static_cast<std::uint64_t>(o.seed)});
  if (o.prompt.empty()) fail(Exit::Config, "--prompt: is empty. Give at least one character.");
  const auto loaded = o.model.load();
  // A token reads each weight once: below the size of a cache, waking other threads costs more than they do.
  constexpr std::size_t kOneThreadBytes = std::size_t{32} << 20;
  if (o.model.threads == 0 && loaded->store.bytes() < kOneThreadBytes) set_num_threads(1);
  if (!loaded->tokenizer) {
    fail(Exit::Config, "{}: no tokenizer.json beside it. Add --tokenizer bytes or --tokenizer FILE.",
         loaded->file.string());
  }
  const data::Tokenizer& tokenizer = *loaded->tokenizer;
  const auto known = static_cast<std::size_t>(tokenizer.vocab_size());  // ids above stand for no text
  Session session(*loaded->model, o.model.impl(), o.model.compute());
  const SignalGuard signals;
  const auto reading = Clock::now();
  const auto prompt = tokenizer.encode(o.prompt);
  auto logits = session.feed(prompt);
  const double read_s = seconds_since(reading);
  put(o.prompt);

  data::StreamDecoder decoder(tokenizer);
  const auto begin = Clock::now();
  auto window = begin;
  std::int64_t n = 0;
  for (; (o.tokens == 0 || n < o.tokens) && SignalGuard::requested() == 0; ++n) {
    const std::int32_t id = sampler.sample(logits.first(known), session.position());
    put(decoder.push(id));
    logits = session.feed({&id, 1});
    if (o.stats > 0 && (n + 1) % o.stats == 0) {
      print_rate("stats", session.position(), o.stats, seconds_since(window));
      window = Clock::now();
    }
  }
  put(decoder.finish() + "\n");
  print_rate("prompt", prompt.size(), static_cast<std::int64_t>(prompt.size()), read_s);
  print_rate("generated", session.position(), n, seconds_since(begin));
  return 0;
}

}  // namespace

int generate_main(int argc, char** argv) {
  GenerateOptions o;
  Options options("rwkv generate", "Continues a prompt, in constant memory. An interrupt ends it cleanly.");
  o.model.declare(options);
  options.text("--prompt,-p", o.prompt, "Text to continue", Options::Need::Required);
  options.count("--tokens,-n", o.tokens, "Tokens to generate; 0: until interrupted");
  options.real("--temperature", o.temperature, "0: always the likeliest token");
  options.real("--top-p", o.top_p, "Keep the likeliest tokens that together have this probability");
  options.count("--top-k", o.top_k, "Keep this many of the likeliest tokens; 0: all");
  options.count("--seed", o.seed, "Equal seeds give equal text");
  options.count("--stats", o.stats, "Print speed and memory to stderr every N tokens; 0: never");
  if (!options.parse(argc, argv)) return 0;
  return generate(o);
}

}  // namespace rt
