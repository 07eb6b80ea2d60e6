#include "data/story_grammar.h"

#include <algorithm>
#include <set>

#include "rt/core/error.h"

namespace rt::data {
namespace {

std::string expand_macros(std::string_view source, const Macros& macros) {
  std::string out;
  for (std::size_t at = 0; at < source.size(); ++at) {
    if (source[at] != '{') {
      out += source[at];
      continue;
    }
    const std::size_t end = source.find('}', at);
    RT_CHECK(end != std::string_view::npos, "story grammar: '{' without '}'");
    const std::string_view name = source.substr(at + 1, end - at - 1);
    const auto found =
        std::find_if(macros.begin(), macros.end(), [&](const auto& m) { return m.first == name; });
    RT_CHECK(found != macros.end(), "story grammar: no macro {}", name);
    out += expand_macros(found->second, macros);
    at = end;
  }
  return out;
}

class Parser {
 public:
  explicit Parser(std::string_view source) : source_(source) {}

  Text sequence(bool nested) {
    Text text;
    std::string literal;
    const auto flush = [&] {
      if (!literal.empty()) text.push_back({Part::Kind::Literal, std::move(literal), false, {}});
      literal.clear();
    };
    while (at_ < source_.size()) {
      const char c = source_[at_];
      if (c == ']' || c == '|') {
        RT_CHECK(nested, "story grammar: stray '{}' in: {}", c, source_);
        break;
      }
      ++at_;
      if (c == '[') {
        flush();
        text.push_back(choice());
      } else if (c == '<') {
        flush();
        text.push_back(slot());
      } else {
        literal += c == '\n' ? ' ' : c;
      }
    }
    flush();
    return text;
  }

 private:
  Part choice() {
    Part part{Part::Kind::Choice, {}, false, {}};
    while (true) {
      part.alternatives.push_back(sequence(true));
      RT_CHECK(at_ < source_.size(), "story grammar: '[' without ']' in: {}", source_);
      if (source_[at_++] == ']') return part;
    }
  }
  Part slot() {
    const std::size_t end = source_.find('>', at_);
    RT_CHECK(end != std::string_view::npos, "story grammar: '<' without '>' in: {}", source_);
    const bool capital = source_[at_] == '^';
    const std::size_t begin = at_ + (capital ? 1 : 0);
    at_ = end + 1;
    return {Part::Kind::Slot, std::string(source_.substr(begin, end - begin)), capital, {}};
  }
  std::string_view source_;
  std::size_t at_ = 0;
};

std::string_view trim(std::string_view s) {
  const std::size_t begin = s.find_first_not_of(" \n");
  return begin == std::string_view::npos ? "" : s.substr(begin, s.find_last_not_of(" \n") - begin + 1);
}

std::vector<std::string_view> split(std::string_view s, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= s.size();) {
    const std::size_t end = std::min(s.find(separator, at), s.size());
    parts.push_back(trim(s.substr(at, end - at)));
    at = end + 1;
  }
  return parts;
}

class Teller {
 public:
  explicit Teller(const Rng& rng) : rng_(rng) {}

  void bind(const Table& table) {
    const auto& row = table.rows()[pick(table.rows().size())];
    for (std::size_t i = 0; i < row.size(); ++i) {
      std::string value;
      expand(row[i], value);
      bound_.emplace_back(table.fields()[i], std::move(value));
    }
  }
  void expand(const Text& text, std::string& out) {
    for (const Part& part : text) {
      if (part.kind == Part::Kind::Literal) {
        out += part.literal;
      } else if (part.kind == Part::Kind::Choice) {
        expand(part.alternatives[pick(part.alternatives.size())], out);
      } else {
        append_slot(part, out);
      }
    }
  }

 private:
  std::size_t pick(std::size_t n) { return static_cast<std::size_t>(rng_.below(draws_++, n)); }
  void append_slot(const Part& part, std::string& out) const {
    const auto found =
        std::find_if(bound_.begin(), bound_.end(), [&](const auto& b) { return b.first == part.literal; });
    RT_CHECK(found != bound_.end(), "story grammar: nothing bound to <{}>", part.literal);
    const std::size_t begin = out.size();
    out += found->second;
    if (part.capital && out[begin] >= 'a' && out[begin] <= 'z')
      out[begin] = static_cast<char>(out[begin] - 'a' + 'A');
  }
  Rng rng_;
  std::uint64_t draws_ = 0;
  std::vector<std::pair<std::string, std::string>> bound_;
};

// One space for many, articles settled, no space at either end.
std::string tidy(std::string_view raw) {
  std::string out;
  for (std::size_t at = 0; at < raw.size(); ++at) {
    if (raw[at] == ' ') {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else if (raw[at] == '~') {
      const std::size_t next = raw.find_first_not_of(' ', at + 1);
      if (next != std::string_view::npos &&
          std::string_view("aeiou").find(raw[next]) != std::string_view::npos) {
        out += 'n';
      }
      out += ' ';
    } else {
      out += raw[at];
    }
  }
  return std::string(trim(out));
}

void collect_slots(const Text& text, std::set<std::string>& out) {
  for (const Part& part : text) {
    if (part.kind == Part::Kind::Slot) out.insert(part.literal);
  }
}

}  // namespace

Text parse_text(std::string_view source, const Macros& macros) {
  return Parser(expand_macros(source, macros)).sequence(false);
}

double count_texts(const Text& text) {
  double product = 1;
  for (const Part& part : text) {
    if (part.kind != Part::Kind::Choice) continue;
    double sum = 0;
    for (const Text& alternative : part.alternatives) sum += count_texts(alternative);
    product *= sum;
  }
  return product;
}

Table::Table(std::string_view source, const Macros& macros) {
  for (const std::string_view line : split(source, '\n')) {
    if (line.empty()) continue;
    const std::vector<std::string_view> cells = split(line, ';');
    if (fields_.empty()) {
      fields_.assign(cells.begin(), cells.end());
      continue;
    }
    RT_CHECK(cells.size() == fields_.size(), "story grammar: {} cells for {} fields: {}", cells.size(),
             fields_.size(), line);
    rows_.emplace_back();
    for (const std::string_view cell : cells) {
      rows_.back().push_back(parse_text(cell, macros));
      row_sources_.emplace_back(cell);
    }
  }
  RT_CHECK(!rows_.empty(), "story grammar: a table without rows");
}

double Table::count() const {
  double sum = 0;
  for (const auto& row : rows_) {
    double product = 1;
    for (const Text& cell : row) product *= count_texts(cell);
    sum += product;
  }
  return sum;
}

double Plot::count() const {
  double product = count_texts(text);
  for (const Table& table : tables) product *= table.count();
  return product;
}

std::string Plot::hidden_choice() const {
  std::set<std::string> shown;
  collect_slots(text, shown);
  for (auto table = tables.rbegin(); table != tables.rend(); ++table) {  // later fields show earlier ones
    const std::size_t n = table->fields().size();
    std::vector<std::string> shown_of_row(table->rows().size());
    for (std::size_t f = n; f-- > 0;) {
      const bool seen = shown.count(table->fields()[f]) > 0;
      for (std::size_t r = 0; r < table->rows().size(); ++r) {
        if (!seen && count_texts(table->rows()[r][f]) > 1) return name + ": <" + table->fields()[f] + ">";
        if (!seen) continue;
        collect_slots(table->rows()[r][f], shown);
        shown_of_row[r] += table->row_sources()[r * n + f] + ";";
      }
    }
    const std::set<std::string> different(shown_of_row.begin(), shown_of_row.end());
    if (different.size() != shown_of_row.size())
      return name + ": the rows of the table with <" + table->fields()[0] + ">";
  }
  return {};
}

std::string Plot::tell(const Rng& rng) const {
  Teller teller(rng);
  for (const Table& table : tables) teller.bind(table);
  std::string raw;
  teller.expand(text, raw);
  return tidy(raw) + "\n";
}

}  // namespace rt::data
