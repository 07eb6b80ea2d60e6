// rwkv data inspect, rwkv data verify.
#include <cstdio>

#include "apps/data.h"
#include "apps/model_options.h"
#include "rt/data/loss_mask.h"
#include "rt/data/open_source.h"
#include "rt/train/machine.h"

namespace rt {
namespace {

constexpr std::uint64_t kExcerpt = 200;  // tokens of the first document that inspect shows

std::optional<data::LossMask> loss_mask(const data::StoredTokens& source) {
  const auto* set = dynamic_cast<const data::TokenSet*>(&source);
  if (set == nullptr || !data::LossMask::present(set->name())) return std::nullopt;
  return data::LossMask(*set);
}

void print_source(const data::StoredTokens& source) {
  const data::Tokenizer& tokenizer = source.tokenizer();
  const std::vector<data::StoredFile> files = source.files();
  const std::uint64_t documents = source.documents();
  std::printf("format       %s\n", std::string(source.kind()).c_str());
  if (!source.description().empty())
    std::printf("description  %s\n", std::string(source.description()).c_str());
  std::printf("tokenizer    %s, vocab %lld, fingerprint %016llx\n", std::string(tokenizer.type()).c_str(),
              static_cast<long long>(tokenizer.vocab_size()),
              static_cast<unsigned long long>(tokenizer.fingerprint()));
  std::printf("tokens       %llu\n", static_cast<unsigned long long>(source.size()));
  std::printf("documents    %llu, %.1f tokens on average\n", static_cast<unsigned long long>(documents),
              double(source.size()) / double(std::max<std::uint64_t>(1, documents)));
  if (const auto mask = loss_mask(source)) {
    std::printf("trained on   %llu tokens\n", static_cast<unsigned long long>(mask->trained()));
  }
  std::printf("files        %zu, %s\n", files.size(), human_bytes(double(source.bytes())).c_str());
  for (const data::StoredFile& file : files) {
    std::printf("  %s  %llu tokens, %llu documents, %u bytes each\n", file.path.c_str(),
                static_cast<unsigned long long>(file.tokens), static_cast<unsigned long long>(file.documents),
                file.token_bytes);
  }
  if (documents == 0) return;
  std::uint64_t begin = 0, end = 0;
  source.document(0, begin, end);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(std::min(end - begin, kExcerpt)));
  source.read(begin, ids.size(), ids.data());
  std::printf("document 0   %s%s\n", tokenizer.decode(ids).c_str(), end - begin > kExcerpt ? "..." : "");
}

}  // namespace

std::unique_ptr<data::StoredTokens> open_token_data(const std::string& path,
                                                    const data::Tokenizer* tokenizer) {
  auto source = data::open_source(path, tokenizer);
  if (!source) {
    fail(Exit::Data,
         "{}: no token data: neither a token directory, a Megatron .bin with .idx, nor an llm.c .bin; make "
         "some with: rwkv data prepare",
         path);
  }
  return source;
}

int data_inspect_main(int argc, char** argv) {
  std::string path;
  std::optional<std::string> document, tokenizer_name;
  Options options("rwkv data inspect", "Says what token data holds.");
  options.positional("DATA", path, "A token directory, a Megatron .bin with .idx, llm.c .bin files");
  options.text("--tokenizer", tokenizer_name, "What files of another program were made with");
  options.text("--doc", document, "Print the text of this document, counted from 0");
  if (!options.parse(argc, argv)) return 0;
  const auto tokenizer = tokenizer_name ? open_tokenizer(*tokenizer_name) : nullptr;
  const auto source = open_token_data(path, tokenizer.get());
  if (!document) {
    print_source(*source);
    return 0;
  }
  const auto index = parse_count(*document);
  if (!index || static_cast<std::uint64_t>(*index) >= source->documents()) {
    fail(Exit::Config, "--doc: {} is not one of the {} documents, which are counted from 0.", *document,
         source->documents());
  }
  const std::string text = source->document_text(static_cast<std::uint64_t>(*index));
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

int data_verify_main(int argc, char** argv) {
  std::string path;
  std::optional<std::string> tokenizer_name;
  Options options("rwkv data verify",
                  "Reads every byte of token data and checks checksums where there are some, the index, and "
                  "every token against the vocabulary.");
  options.positional("DATA", path, "A token directory, a Megatron .bin with .idx, llm.c .bin files");
  options.text("--tokenizer", tokenizer_name, "What files of another program were made with");
  if (!options.parse(argc, argv)) return 0;
  const auto tokenizer = tokenizer_name ? open_tokenizer(*tokenizer_name) : nullptr;
  const auto source = open_token_data(path, tokenizer.get());
  const auto damage = source->damage();
  for (std::size_t i = 1; i < damage.size(); ++i) std::printf("%s\n", damage[i].what.c_str());
  if (!damage.empty()) fail(Exit::Data, "{}", damage.front().what);
  if (const auto mask = loss_mask(*source)) mask->verify();
  std::printf("%s: %zu files, %llu tokens: all good\n", path.c_str(), source->files().size(),
              static_cast<unsigned long long>(source->size()));
  return 0;
}

}  // namespace rt
