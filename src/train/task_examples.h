#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace rt {

// What a task's file says, before tokenization.
struct ChoiceExample {
  std::string context;
  std::vector<std::string> continuations;  // with the blank that joins them
  std::vector<std::size_t> choice_bytes;   // of each, without it
  std::size_t gold = 0;
};
struct PageExample {
  std::string text;                    // for the model
  std::uint64_t words = 0, bytes = 0;  // of the page as it is
};

// `limit` 0: all. Exit::Data with path:line.
std::vector<ChoiceExample> read_lambada(const std::filesystem::path& path, std::int64_t limit);
std::vector<ChoiceExample> read_choices(const std::filesystem::path& path, std::int64_t limit);
std::vector<PageExample> read_pages(const std::filesystem::path& path, std::int64_t limit);

// Every `from`, left to right, becomes `to`, in which none is looked for.
void replace_all(std::string& text, std::string_view from, std::string_view to);
// Undoes what WikiText's tokenization did to spaces and punctuation.
std::string wikitext_detokenized(std::string_view page);

}  // namespace rt
