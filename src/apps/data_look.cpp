// rwkv data inspect, verify.
#include <cstdio>

#include "apps/data.h"
#include "apps/model_options.h"
#include "rt/data/token_set.h"
#include "rt/train/machine.h"

namespace rt {
namespace {

constexpr std::size_t kExcerpt = 200;  // bytes of the first document that inspect shows

void print_set(const data::TokenSet& set) {
  const data::Tokenizer& tokenizer = set.tokenizer();
  double bytes = 0;
  for (const data::TokenFile& shard : set.shards()) bytes += double(shard.file_bytes());
  std::printf("description  %s\n", set.description().c_str());
  std::printf("tokenizer    %s, vocab %lld\n", std::string(tokenizer.type()).c_str(),
              static_cast<long long>(tokenizer.vocab_size()));
  std::printf("tokens       %llu\n", static_cast<unsigned long long>(set.size()));
  std::printf("documents    %llu, %.1f tokens on average\n", static_cast<unsigned long long>(set.documents()),
              double(set.size()) / double(std::max<std::uint64_t>(1, set.documents())));
  std::printf("shards       %zu, %s\n", set.shards().size(), human_bytes(bytes).c_str());
  for (const data::TokenFile& shard : set.shards()) {
    std::printf("  %s  %llu tokens, %llu documents, %u bytes each\n", shard.path().c_str(),
                static_cast<unsigned long long>(shard.size()),
                static_cast<unsigned long long>(shard.documents()), shard.token_bytes());
  }
  std::uint64_t begin = 0, end = 0;
  if (set.documents() == 0) return;
  set.document(0, begin, end);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(std::min<std::uint64_t>(end - begin, kExcerpt)));
  set.read(begin, ids.size(), ids.data());
  std::printf("document 0   %s%s\n", tokenizer.decode(ids).c_str(), end - begin > kExcerpt ? "..." : "");
}

}  // namespace

int data_inspect_main(int argc, char** argv) {
  std::string dir;
  std::optional<std::string> document;
  Options options("rwkv data inspect", "Says what a token directory holds.");
  options.positional("DIR", dir, "A token directory");
  options.text("--doc", document, "Print the text of this document, counted from 0");
  if (!options.parse(argc, argv)) return 0;
  const data::TokenSet set(dir);
  if (!document) {
    print_set(set);
    return 0;
  }
  const auto index = parse_count(*document);
  if (!index || static_cast<std::uint64_t>(*index) >= set.documents()) {
    fail(Exit::Config, "--doc: {} is not one of the {} documents, which are counted from 0.", *document,
         set.documents());
  }
  const std::string text = set.document_text(static_cast<std::uint64_t>(*index));
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

int data_verify_main(int argc, char** argv) {
  std::string dir;
  Options options("rwkv data verify", "Reads every byte of a token directory and checks it.");
  options.positional("DIR", dir, "A token directory");
  if (!options.parse(argc, argv)) return 0;
  const data::TokenSet set(dir);
  const auto damage = set.damage();
  for (std::size_t i = 1; i < damage.size(); ++i) std::printf("%s\n", damage[i].what.c_str());
  if (!damage.empty()) fail(Exit::Data, "{}", damage.front().what);
  std::printf("%s: %zu shards, %llu tokens: all good\n", dir.c_str(), set.shards().size(),
              static_cast<unsigned long long>(set.size()));
  return 0;
}

}  // namespace rt
