#include "data/story_grammar.h"

namespace rt::data {
namespace {

const Macros& shared_macros() {
  static const Macros macros = {
      {"there", "[Once upon a time, there was|Once there was|There once was]"},
      {"learned", "[<H> learned that|That day, <H> learned that|And so <H> learned that]"},
      {"girls",
       "[Mia|Lily|Anna|Emma|Lucy|Zoe|Ella|Rose|Sara|Nina|Amy|Kate|Ruby|Grace|Ivy|Molly|Sue|Jane|Maya|Nora]"},
      {"boys",
       "[Ben|Tom|Sam|Max|Leo|Tim|Jack|Noah|Finn|Adam|Luke|Owen|Eli|Dan|Hugo|Theo|Oscar|Peter|Henry|Jake]"},
      {"ladies",
       "[Daisy|Hazel|Poppy|Dot|Clover|Willow|Pearl|Fern|Penny|Luna|Bella|Tilly|Maple|Olive|Flora|Minnie]"},
      {"gents",
       "[Pip|Rusty|Toby|Bobo|Moss|Biscuit|Milo|Otto|Bruno|Chip|Barney|Felix|Gus|Archie|Teddy|Monty]"},
      {"small beasts", "[rabbit|mouse|squirrel|hedgehog|mole]"},
      {"big beasts", "[fox|bear|otter|beaver|raccoon]"},
  };
  return macros;
}

Macros world_macros(World world) {
  Macros macros = shared_macros();
  if (world == World::Children) {
    macros.insert(macros.end(),
                  {{"open",
                    "{there} a~[little|young|small|happy|sweet|cheerful] <kind> named <H>. [<^he> lived "
                    "in a~[small|little|quiet] [town|village|house by the sea|house on a hill].|<^he> "
                    "loved to [sing|dance|draw|tell jokes|play outside].|||]"},
                   {"friend", "<his> friend <F>"},
                   {"Friend", "<^his> friend <F>"},
                   {"hand", "hand"},
                   {"hands", "hands"},
                   {"land", "town"}});
  } else {
    macros.insert(macros.end(),
                  {{"open",
                    "{there} a~[little|young|small|happy|gentle|cheerful] <kind> named <H>. [<^he> lived "
                    "in [a cozy den|a hollow tree|a little house] [by the river|near the meadow|at the "
                    "edge of the forest].|<^he> loved to [sing|dance|tell jokes|roll in the grass].|||]"},
                   {"friend", "<his> friend <F> the <fkind>"},
                   {"Friend", "<^his> friend <F> the <fkind>"},
                   {"hand", "paw"},
                   {"hands", "paws"},
                   {"land", "forest"}});
  }
  return macros;
}

std::string_view cast_table(World world, Cast cast) {
  if (world == World::Children && cast == Cast::Solo) {
    return R"(H ; he ; him ; his ; kind
      {girls} ; she ; her ; her ; girl
      {boys} ; he ; him ; his ; boy)";
  }
  if (world == World::Children) {
    return R"(H ; he ; him ; his ; kind ; F ; fhe ; fhim ; fhis ; fkind
      {girls} ; she ; her ; her ; girl ; {boys} ; he ; him ; his ; boy
      {boys} ; he ; him ; his ; boy ; {girls} ; she ; her ; her ; girl)";
  }
  if (cast == Cast::Solo) {
    return R"(H ; he ; him ; his ; kind
      {ladies} ; she ; her ; her ; [{small beasts}|{big beasts}]
      {gents} ; he ; him ; his ; [{small beasts}|{big beasts}])";
  }
  return R"(H ; he ; him ; his ; kind ; F ; fhe ; fhim ; fhis ; fkind
    {ladies} ; she ; her ; her ; {small beasts} ; {gents} ; he ; him ; his ; {big beasts}
    {ladies} ; she ; her ; her ; {big beasts} ; {gents} ; he ; him ; his ; {small beasts}
    {gents} ; he ; him ; his ; {small beasts} ; {ladies} ; she ; her ; her ; {big beasts}
    {gents} ; he ; him ; his ; {big beasts} ; {ladies} ; she ; her ; her ; {small beasts})";
}

}  // namespace

Plot make_plot(std::string_view name, World world, Cast cast, const std::vector<std::string_view>& tables,
               std::string_view text) {
  const Macros macros = world_macros(world);
  Plot plot;
  plot.name = std::string(name) + (world == World::Children ? "/children" : "/animals");
  plot.tables.emplace_back(cast_table(world, cast), macros);
  for (const std::string_view table : tables) plot.tables.emplace_back(table, macros);
  plot.text = parse_text(text, macros);
  return plot;
}

const std::vector<Plot>& story_plots() {
  static const std::vector<Plot> plots = [] {
    std::vector<Plot> all;
    add_friend_plots(all);
    add_lesson_plots(all);
    add_courage_plots(all);
    add_care_plots(all);
    return all;
  }();
  return plots;
}

}  // namespace rt::data
