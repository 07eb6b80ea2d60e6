// LAMBADA and multiple choice, from JSON lines.
#include <algorithm>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "rt/core/error.h"
#include "train/task_examples.h"

namespace rt {
namespace {

using Json = nlohmann::json;

// Calls take(object) for each line that is not blank. What take() finds missing is an error of that line.
void each_line(const std::filesystem::path& path, std::int64_t limit,
               const std::function<void(const Json&)>& take) {
  std::ifstream in(path);
  if (!in) fail(Exit::Data, "{}: cannot be read.", path.string());
  std::int64_t number = 0, taken = 0;
  for (std::string line; (limit == 0 || taken < limit) && std::getline(in, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      take(Json::parse(line));
    } catch (const Json::exception& e) {
      std::string why = e.what();
      why.erase(0, why.find(']') == std::string::npos ? 0 : why.find(']') + 2);
      fail(Exit::Data, "{}:{}: not an example of this task: {}.", path.string(), number, why);
    } catch (const Error& e) { fail(e.code(), "{}:{}: {}", path.string(), number, e.what()); }
    ++taken;
  }
  if (taken == 0) fail(Exit::Data, "{}: empty: there is no example in it.", path.string());
}

std::string trimmed(const std::string& text) {
  constexpr const char* kBlank = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kBlank);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// A number, or one in quotes.
std::int64_t whole(const Json& value) {
  if (!value.is_string()) return value.get<std::int64_t>();
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos || text.size() > 9) {
    fail(Exit::Data, "\"{}\" is not the number of a choice.", text);
  }
  return std::stoll(text);
}

void add_choice(ChoiceExample& e, const std::string& choice) {
  e.continuations.push_back(" " + choice);
  e.choice_bytes.push_back(choice.size());
}

// HellaSwag's texts come from WikiHow, with its marks in brackets.
std::string hellaswag_text(const std::string& raw) {
  std::string text = trimmed(raw);
  replace_all(text, " [title]", ". ");
  for (std::size_t open = text.find('['); open != std::string::npos; open = text.find('[', open)) {
    const std::size_t close = text.find(']', open);
    if (close == std::string::npos || text.substr(open, close - open).find('\n') != std::string::npos) {
      ++open;
    } else {
      text.erase(open, close - open + 1);
    }
  }
  // Each pair of blanks once, from the left: of four, two are left.
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text[i] == ' ' && i + 1 < text.size() && text[i + 1] == ' ') ++i;
  }
  return out;
}

ChoiceExample hellaswag(const Json& line) {
  std::string second = line.at("ctx_b").get<std::string>();
  const auto ascii = [](char c, char first, char last, int shift) {
    return c >= first && c <= last ? static_cast<char>(c + shift) : c;
  };
  for (char& c : second) c = ascii(c, 'A', 'Z', 'a' - 'A');
  if (!second.empty()) second[0] = ascii(second[0], 'a', 'z', 'A' - 'a');
  ChoiceExample e;
  e.context = hellaswag_text(line.at("activity_label").get<std::string>() + ": " +
                             line.at("ctx_a").get<std::string>() + " " + second);
  for (const Json& ending : line.at("endings")) add_choice(e, hellaswag_text(ending.get<std::string>()));
  e.gold = static_cast<std::size_t>(whole(line.at("label")));
  return e;
}

ChoiceExample piqa(const Json& line) {
  ChoiceExample e;
  e.context = "Question: " + line.at("goal").get<std::string>() + "\nAnswer:";
  add_choice(e, line.at("sol1").get<std::string>());
  add_choice(e, line.at("sol2").get<std::string>());
  e.gold = static_cast<std::size_t>(whole(line.at("label")));
  return e;
}

ChoiceExample arc(const Json& line) {
  const bool released = line.at("question").is_object();
  ChoiceExample e;
  std::vector<std::string> labels;
  const Json& question = released ? line["question"].at("stem") : line["question"];
  e.context = "Question: " + question.get<std::string>() + "\nAnswer:";
  if (released) {
    for (const Json& choice : line["question"].at("choices")) {
      add_choice(e, choice.at("text").get<std::string>());
      labels.push_back(choice.at("label").get<std::string>());
    }
  } else {
    for (const Json& text : line.at("choices").at("text")) add_choice(e, text.get<std::string>());
    labels = line["choices"].at("label").get<std::vector<std::string>>();
  }
  const auto key = line.at("answerKey").get<std::string>();
  e.gold = static_cast<std::size_t>(std::find(labels.begin(), labels.end(), key) - labels.begin());
  return e;
}

ChoiceExample other(const Json& line) {
  ChoiceExample e;
  e.context = line.at(line.contains("query") ? "query" : "context").get<std::string>();
  for (const Json& choice : line.at("choices")) add_choice(e, choice.get<std::string>());
  e.gold = static_cast<std::size_t>(whole(line.at(line.contains("gold") ? "gold" : "label")));
  return e;
}

ChoiceExample choice_example(const Json& line) {
  ChoiceExample e = line.contains("endings")     ? hellaswag(line)
                    : line.contains("sol1")      ? piqa(line)
                    : line.contains("answerKey") ? arc(line)
                                                 : other(line);
  if (e.continuations.empty() || e.gold >= e.continuations.size()) {
    fail(Exit::Data, "the right answer is none of the {} choices.", e.continuations.size());
  }
  return e;
}

}  // namespace

std::vector<ChoiceExample> read_lambada(const std::filesystem::path& path, std::int64_t limit) {
  std::vector<ChoiceExample> all;
  each_line(path, limit, [&](const Json& line) {
    const auto text = line.at("text").get<std::string>();
    const std::size_t blank = text.rfind(' ');
    if (blank == std::string::npos) fail(Exit::Data, "a text of one word has no last word to guess.");
    ChoiceExample& e = all.emplace_back();
    e.context = text.substr(0, blank);
    add_choice(e, text.substr(blank + 1));
  });
  return all;
}

std::vector<ChoiceExample> read_choices(const std::filesystem::path& path, std::int64_t limit) {
  std::vector<ChoiceExample> all;
  each_line(path, limit, [&](const Json& line) { all.push_back(choice_example(line)); });
  return all;
}

}  // namespace rt
