#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rt/core/rng.h"

// A small language for texts that vary.
//   [a|b|]      one of the alternatives, which may nest
//   <name>      the value bound to `name`; <^name> with a capital first letter
//   {name}      a macro, replaced as text before parsing
//   a~          "a" or "an", by the letter that follows
//   white space of any amount is one space
// A table is lines of fields separated by ';': the first line names the fields, each other line is a row.
// Choosing a row binds every field to its expanded text; a field may use names bound before it.
namespace rt::data {

struct Part;
using Text = std::vector<Part>;
struct Part {
  enum class Kind { Literal, Slot, Choice } kind = Kind::Literal;
  std::string literal;  // the literal, or the slot's name
  bool capital = false;
  std::vector<Text> alternatives;
};

using Macros = std::vector<std::pair<std::string_view, std::string_view>>;

Text parse_text(std::string_view source, const Macros& macros);
double count_texts(const Text& text);  // ways to choose

class Table {
 public:
  Table(std::string_view source, const Macros& macros);
  double count() const;
  const std::vector<std::string>& fields() const { return fields_; }
  const std::vector<std::vector<Text>>& rows() const { return rows_; }
  const std::vector<std::string>& row_sources() const { return row_sources_; }

 private:
  std::vector<std::string> fields_;
  std::vector<std::vector<Text>> rows_;
  std::vector<std::string> row_sources_;
};

struct Plot {
  std::string name;
  std::vector<Table> tables;
  Text text;

  double count() const;
  // Empty when every choice that count() counts shows in the text; else what is hidden. A field with several
  // forms must be used outside of any choice, and the fields used so must tell all rows of a table apart.

  std::string hidden_choice() const;
  std::string tell(const Rng& rng) const;  // one line with its '\n'
};

const std::vector<Plot>& story_plots();

// The parts of story_plots(), by file.
void add_friend_plots(std::vector<Plot>& plots);
void add_lesson_plots(std::vector<Plot>& plots);
void add_courage_plots(std::vector<Plot>& plots);
void add_care_plots(std::vector<Plot>& plots);

// World and cast: children or animals, alone or with a friend of the other gender (so that "he" and "she" are
// never in doubt). Binds H he him his kind, and F fhe fhim fhis fkind.
enum class World { Children, Animals };
enum class Cast { Solo, Pair };
Plot make_plot(std::string_view name, World world, Cast cast, const std::vector<std::string_view>& tables,
               std::string_view text);

}  // namespace rt::data
