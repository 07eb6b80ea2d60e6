// WikiText.
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "rt/core/error.h"
#include "train/task_examples.h"

namespace rt {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Parts between runs of white space, an empty one at an end that begins or ends with some, as a split by the
// regular expression \s+ gives them.
std::uint64_t count_words(std::string_view text) {
  std::uint64_t parts = 1;
  for (std::size_t i = 0; i < text.size(); ++i)
    parts += is_space(text[i]) && (i == 0 || !is_space(text[i - 1]));
  return parts;
}

// Removes the white space inside each pair of brackets: from `open` to the next `close`.
void tighten(std::string& text, char open, char close) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = text[i] == open ? text.find(close, i + 1) : std::string::npos;
    if (end == std::string::npos) {
      out += text[i++];
      continue;
    }
    std::size_t first = i + 1, last = end;
    while (first < last && is_space(text[first])) ++first;
    while (last > first && is_space(text[last - 1])) --last;
    out.append(1, open).append(text, first, last - first).append(1, close);
    i = end + 1;
  }
  text = std::move(out);
}

// " = Title = ": the line above a page, of which headings inside it have more signs.
bool begins_page(std::string_view line) {
  while (!line.empty() && is_space(line.front())) line.remove_prefix(1);
  while (!line.empty() && is_space(line.back())) line.remove_suffix(1);
  return line.size() > 4 && line.starts_with("= ") && !line.starts_with("= =") && line.ends_with(" =") &&
         !line.ends_with("= =");
}

PageExample page_example(const std::string& page) {
  return {wikitext_detokenized(page), count_words(page), page.size()};
}

std::vector<std::string> split_pages(const std::string& text) {
  std::vector<std::string> pages;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t newline = text.find('\n', begin);
    const std::size_t end = newline == std::string::npos ? text.size() : newline + 1;
    const std::string line = text.substr(begin, end - begin);
    const bool blank = line.find_first_not_of(" \t\r\n") == std::string::npos;
    if (begins_page(line) || (pages.empty() && !blank)) pages.emplace_back();
    if (!pages.empty()) pages.back() += line;
    begin = end;
  }
  return pages;
}

std::vector<std::string> json_pages(const std::string& text, const std::string& path) {
  std::vector<std::string> pages;
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    ++number;
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto object = nlohmann::json::parse(line, nullptr, false);
    const auto page = object.is_object() ? object.find("page") : object.end();
    if (!object.is_object() || page == object.end() || !page->is_string()) {
      fail(Exit::Data, "{}:{}: no JSON object with a text \"page\".", path, number);
    }
    pages.push_back(page->get<std::string>());
  }
  return pages;
}

}  // namespace

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string out;
  std::size_t begin = 0;
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, begin)) {
    out.append(text, begin, at - begin).append(to);
    begin = at + from.size();
  }
  text = out.append(text, begin);
}

std::string wikitext_detokenized(std::string_view page) {
  static constexpr std::pair<std::string_view, std::string_view> kBefore[] = {
      {"s '", "s'"}, {" @-@ ", "-"}, {" @,@ ", ","}, {" @.@ ", "."}, {" : ", ": "},
      {" ; ", "; "}, {" . ", ". "},  {" ! ", "! "},  {" ? ", "? "},  {" , ", ", "}};
  static constexpr std::pair<std::string_view, std::string_view> kAfter[] = {
      {"= = = =", "===="}, {"= = =", "==="}, {"= =", "=="},  {" \xC2\xB0 ", "\xC2\xB0"},
      {" \n", "\n"},       {"\n ", "\n"},    {" N ", " 1 "}, {" 's", "'s"}};
  std::string text(page);
  for (const auto& [from, to] : kBefore) replace_all(text, from, to);
  tighten(text, '(', ')');
  tighten(text, '[', ']');
  tighten(text, '{', '}');
  tighten(text, '"', '"');
  tighten(text, '\'', '\'');
  for (const auto& [from, to] : kAfter) replace_all(text, from, to);
  return text;
}

std::vector<PageExample> read_pages(const std::filesystem::path& path, std::int64_t limit) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) fail(Exit::Data, "{}: cannot be read.", path.string());
  const bool json = path.extension() == ".jsonl" || path.extension() == ".ndjson";
  std::vector<PageExample> all;
  for (const std::string& page : json ? json_pages(text, path.string()) : split_pages(text)) {
    if (limit == 0 || static_cast<std::int64_t>(all.size()) < limit) all.push_back(page_example(page));
  }
  if (all.empty()) fail(Exit::Data, "{}: empty: there is no page in it.", path.string());
  return all;
}

}  // namespace rt
