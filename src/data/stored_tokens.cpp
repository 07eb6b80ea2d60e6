#include "rt/data/stored_tokens.h"

#include "rt/core/error.h"

namespace rt::data {

std::string StoredTokens::document_text(std::uint64_t index) const {
  std::uint64_t begin = 0, end = 0;
  document(index, begin, end);
  std::vector<std::int32_t> ids(end - begin);
  read(begin, ids.size(), ids.data());
  return tokenizer().decode(ids);
}

void StoredTokens::verify() const {
  const std::vector<Damage> found = damage();
  if (found.empty()) return;
  std::size_t affected = 0;
  for (std::size_t i = 0; i < found.size(); ++i) affected += i == 0 || found[i].file != found[i - 1].file;
  fail(Exit::Data, "{} ({} of {} {} affected)", found.front().what, affected, files().size(),
       kind() == "rtok" ? "shards" : "files");
}

}  // namespace rt::data
