#include "data/documents.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/fs_errors.h"

#include "rt/core/error.h"
#include "rt/core/mapped_file.h"

namespace rt::data {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kBom = "\xEF\xBB\xBF";

std::string lower_extension(const fs::path& path) {
  std::string text = path.extension().string();
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

bool is_jsonl(const std::string& ext) { return ext == ".jsonl" || ext == ".ndjson"; }
bool is_text(const std::string& ext) { return ext == ".txt" || ext == ".text" || ext == ".md"; }

void add_file(const fs::path& path, bool named, InputFormat format, InputList& list) {
  const std::string ext = lower_extension(path);
  if (format == InputFormat::Auto && (ext == ".gz" || ext == ".zst" || ext == ".xz" || ext == ".bz2")) {
    if (named) fail(Exit::Data, "{}: compressed files are not read; unpack it first", path.string());
  }
  if (format == InputFormat::Auto && !named && !is_jsonl(ext) && !is_text(ext)) {
    ++list.skipped;
    return;
  }
  const bool jsonl = format == InputFormat::Jsonl || (format == InputFormat::Auto && is_jsonl(ext));
  const std::uint64_t bytes = fs::file_size(path);
  list.files.push_back({path, jsonl, bytes});
  list.bytes += bytes;
}

void add_directory(const fs::path& dir, InputFormat format, InputList& list) {
  std::vector<fs::path> found;
  for (auto it = fs::recursive_directory_iterator(dir); it != fs::recursive_directory_iterator(); ++it) {
    if (it->path().filename().string()[0] == '.') {
      if (it->is_directory()) it.disable_recursion_pending();
    } else if (it->is_regular_file()) {
      found.push_back(it->path());
    }
  }
  std::sort(found.begin(), found.end(),
            [](const fs::path& a, const fs::path& b) { return a.generic_string() < b.generic_string(); });
  for (const fs::path& path : found) add_file(path, false, format, list);
}

void add_input(const fs::path& input, InputFormat format, InputList& list) {
  if (fs::is_directory(input)) {
    add_directory(input, format, list);
  } else if (fs::is_regular_file(input)) {
    add_file(input, true, format, list);
  } else {
    fail(Exit::Data, "{}: {}", input.string(),
         fs::exists(input) ? "not a file or directory" : "no such file");
  }
}

// Cuts the next line, without its end, off `text` at `at`; `at` moves behind it.
std::string_view next_line(std::string_view text, std::size_t& at) {
  const std::size_t end = std::min(text.find('\n', at), text.size());
  std::string_view line = text.substr(at, end - at);
  at = std::min(end + 1, text.size());
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

void text_documents(const InputFile& file, std::string_view text, const PrepareOptions& options,
                    const OnDocument& on_document) {
  std::size_t begin = 0;
  if (options.separator) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t line_begin = at;
      if (next_line(text, at) != *options.separator) continue;
      on_document({text.substr(begin, line_begin - begin), file.path.string(), begin, at});
      begin = at;
    }
    if (begin == text.size() && begin > 0) return;  // the file ended in a separator
  }
  on_document({text.substr(begin), file.path.string(), begin, text.size()});
}

// The text of one line; `why` is set when there is none.
std::string field_of_line(std::string_view line, const std::string& field, std::string& why) {
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(line);
  } catch (const nlohmann::json::parse_error& e) {
    why = format("not valid JSON near column {}", e.byte);
    return {};
  }
  if (!json.is_object()) {
    why = "not a JSON object";
  } else if (!json.contains(field)) {
    why = format("has no field \"{}\"", field);
  } else if (!json[field].is_string()) {
    why = format("field \"{}\" is a {}, not a string", field, json[field].type_name());
  } else {
    return std::move(json[field].get_ref<std::string&>());
  }
  return {};
}

void jsonl_documents(const InputFile& file, std::string_view text, const PrepareOptions& options,
                     const OnDocument& on_document, const OnBadLine& on_bad_line) {
  std::size_t at = text.substr(0, kBom.size()) == kBom ? kBom.size() : 0;
  for (std::uint64_t number = 1; at < text.size(); ++number) {
    const std::string_view line = next_line(text, at);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    std::string where = format("{}:{}", file.path.string(), number), why;
    std::string document = field_of_line(line, options.field, why);
    if (!why.empty()) {
      if (options.strict) fail(Exit::Data, "{}: {}; correct it or leave out strict mode", where, why);
      on_bad_line(std::move(where), std::move(why));
      continue;
    }
    if (options.end_with_newline && !document.empty() && document.back() != '\n') document += '\n';
    on_document({document, std::move(where), 0, at});
  }
}

}  // namespace

InputList list_inputs(const std::vector<fs::path>& inputs, InputFormat format) {
  InputList list;
  for (const fs::path& input : inputs) {
    with_fs_errors([&] { add_input(input, format, list); });
  }
  if (list.files.empty()) {
    fail(Exit::Data,
         "no input files: {} inputs, {} files with other endings than .txt .text .md .jsonl .ndjson; name "
         "the files or give the format",
         inputs.size(), list.skipped);
  }
  return list;
}

void for_each_document(const InputFile& file, const PrepareOptions& options, const OnDocument& on_document,
                       const OnBadLine& on_bad_line) {
  const MappedFile map(file.path, Exit::Data);
  if (file.jsonl) {
    jsonl_documents(file, map.text(), options, on_document, on_bad_line);
  } else {
    text_documents(file, map.text(), options, on_document);
  }
}

}  // namespace rt::data
