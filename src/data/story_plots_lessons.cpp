#include "data/story_grammar.h"

// Plots about a mistake: pride, a lie, greed, advice not taken.
namespace rt::data {
namespace {

constexpr std::string_view kProud = R"(
{open} <^he> was <boast>, and <he> told everyone so. One [day|morning], there was <contest>. {Friend} wanted to try, too. <H>
[laughed|laughed out loud]. "<jeer>," <he> said. "[Maybe|Perhaps], but I will do my best," said <F>[ quietly| with a
smile|].
<start> But <mistake> <F> <way>. [Everyone cheered for <F>.|<F> had won!|The winner was <F>!] <H> felt [sad and
ashamed|very small and sad]. <^he> went to <F> and said, "[You did so well|You were great]. I am sorry that I laughed at
you." "[Thank you|That is all right]," said <F>[ with a smile| and took <his> {hand}|]. {learned} [doing your best is better
than boasting|it is better to be kind than to be proud|pride can make you fall].)";

constexpr std::string_view kProudChildren = R"(boast ; contest ; jeer ; start ; mistake ; way
the fastest runner in town ; a race to the old [oak|apple] tree ; You are much too slow ; At first, <H> ran far ahead. ; <he> turned around to wave, tripped over a root, and fell down. ; kept running, step by step, and reached the tree first
the best swimmer in town ; a race across the [lake|pond] ; You swim like a stone ; At first, <H> swam far ahead. ; <he> stopped to show off and swam the wrong way. ; kept swimming and reached the [sand|shore] first
the best builder in the class ; a contest to build the tallest tower ; Your towers always fall ; <H> built very fast, and soon <his> tower was taller than a [chair|table]. ; <he> put the blocks down without care, and the tower came crashing down. ; set each block with care, and <fhis> tower stood
the best painter in the class ; a painting contest at school ; You cannot even paint a cat ; <H> finished first and jumped up. ; <he> bumped the table, and the paint spilled all over <his> picture. ; painted slowly and made a lovely picture of [the sea|a garden]
the best singer in the class ; a singing contest at school ; Your voice is much too small ; <H> went first and sang very loudly. ; <he> tried to be even louder, and then no sound came out at all. ; sang softly and sweetly, and everyone listened
the best at flying kites ; a kite contest on the [hill|beach] ; Your kite is much too small ; At first, the kite of <H> flew over all the others. ; <he> let out the string too fast, and it broke. ; let out the string little by little, and <fhis> small kite went higher and higher
the best baker in town ; a cake contest at the [fair|school] ; Your cakes are always flat ; <H> made a huge cake in no time. ; <he> was in a hurry to show it, and the cake slid off the plate. ; baked a small cake with care, and it tasted [wonderful|like honey]
)";
constexpr std::string_view kProudAnimals = R"(boast ; contest ; jeer ; start ; mistake ; way
the fastest runner in the forest ; a race to the [big|gray] rock ; You are much too slow ; At first, <H> ran far ahead. ; <he> lay down to rest in the sun and fell asleep. ; kept walking, step by step, and reached the rock first
the best climber in the forest ; a race to the top of the [tall|old] pine tree ; You will never get up there ; At first, <H> climbed far ahead. ; <he> looked down to laugh, missed a branch, and slid all the way to the ground. ; climbed slowly, branch by branch, and reached the top first
the best jumper in the meadow ; a contest to jump over the [stream|creek] ; You will fall in for sure ; <H> took a long run and closed <his> eyes. ; <he> slipped in the mud and landed in the water with a splash. ; looked carefully, jumped, and landed on the dry grass
the best swimmer in the pond ; a race across the [pond|river] ; You swim like a stone ; At first, <H> swam far ahead. ; <he> stopped to show off and got caught in the weeds. ; kept swimming and reached the shore first
the best at finding nuts ; a contest to find the most nuts ; Your basket is much too small ; At first, <H> picked up nuts very fast. ; <he> did not see the hole in <his> big basket, and the nuts fell out one by one. ; watched <fhis> small basket with care, and not one nut was lost
the best singer in the forest ; a singing contest under the [moon|stars] ; Your voice is much too small ; <H> went first and sang very loudly. ; <he> tried to be even louder, and then no sound came out at all. ; sang softly and sweetly, and even the [crickets|owls] listened
the best builder in the forest ; a contest to build a strong hut ; Your huts always fall ; <H> built very fast and was done before lunch. ; <he> had used thin sticks, and one puff of wind blew the hut down. ; worked slowly with strong sticks, and <fhis> hut stood in the wind
)";

constexpr std::string_view kLie = R"(
{open} One [day|afternoon|rainy day], <H> <act>. <oops> <H> was [afraid|scared]. When <elder> asked, "Who broke <thing>?" <H>
said, "It was <blame>." [That was a lie.|But that was not true.] <unfair> <H> saw it and [felt bad inside|felt a heavy stone
in <his> tummy|could not smile any more]. At last, <he> went to <elder> and said, "[I told a lie|I did not tell the truth].
I broke <thing>. I am [so|very] sorry." <^elder> [gave <him> a hug|was quiet for a moment|took <his> {hand}] and said, "Thank
you for telling the truth. [It was brave of you.|That was not easy.]" Together they <fix>. <amends> {learned} [the truth
makes the heart light|even a small lie can hurt someone|it is brave to tell the truth].)";

constexpr std::string_view kLieChildren = R"(elder ; act ; thing ; oops ; blame ; unfair ; fix ; amends
<his> [mom|dad|grandma] ; threw a ball in the house ; the [blue|tall|old] vase ; The ball hit the vase, and it fell and broke. ; the cat ; So the cat had to stay outside in the rain. ; put the vase back together with glue ; Then <H> let the cat in and gave it a bowl of milk.
<his> [mom|dad|grandpa] ; kicked a ball near the house ; the [big|kitchen] window ; The ball hit the window, and the glass broke. ; the children next door ; So the children next door were not allowed to come and play. ; put new glass in the window ; Then <H> went next door and said sorry to the children.
<his> [mom|grandma|grandpa] ; danced around in the living room ; the [green|big] flower pot ; <^he> bumped the table, and the flower pot fell and broke. ; the dog ; So the dog was tied up in the yard, and it cried. ; planted the flower in a new pot ; Then <H> set the dog free and hugged it.
<his> [mom|dad|grandma] ; climbed on a chair to get a cookie ; the [round|yellow] cookie jar ; The jar slipped, fell, and broke. ; the baby ; So the baby got no cookie and cried. ; cleaned the floor and baked new cookies ; Then <H> gave the first cookie to the baby.
<his> [dad|grandma|grandpa] ; jumped on the couch ; the [little|pretty] lamp ; <^he> bumped the lamp, and it fell and broke. ; the parrot ; So the parrot had to stay in its cage under a dark cloth. ; bought a new lamp ; Then <H> took the cloth away, and the parrot sang again.
)";
constexpr std::string_view kLieAnimals = R"(elder ; act ; thing ; oops ; blame ; unfair ; fix ; amends
<his> [mother|father|grandmother] ; rolled a nut across the table ; the [round|big] honey jar ; The nut hit the honey jar, and it fell and broke. ; the little toad next door ; So the toad was not allowed to come and play. ; made a new jar out of clay ; Then <H> took a honey cake to the toad and said sorry.
<his> [mother|father|grandfather] ; jumped on the bed ; the [little|pretty] lantern ; <^he> bumped the lantern, and it fell and broke. ; the bee at the window ; So the window was shut, and the bee could not come in any more. ; made a new lantern ; Then <H> opened the window, and the bee came in and sang.
<his> [mother|grandmother|grandfather] ; danced in the kitchen ; the [blue|brown] bowl ; <^he> bumped the shelf, and the bowl fell and broke. ; the baby ; So the baby got no berry pie and cried. ; put the bowl back together ; Then <H> gave <his> own pie to the baby.
<his> [mother|father|grandmother] ; threw pine cones in the house ; the [tall|old] vase ; A pine cone hit the vase, and it fell and broke. ; the frog ; So the frog had to leave its warm place by the fire. ; put the vase back together with glue ; Then <H> asked the frog to come back and made it some tea.
)";

constexpr std::string_view kGreed = R"(
{open} One [day|morning|sunny day], <H> and {friend} went <where>. "Take only what you need," <elder> told them. <F> <small>.
But <H> wanted more and more. <^he> <much>. "[That is too much|That is enough]," said <F>. "No, [more is better|I want them
all]," said <H>. [On the way home|When they went home], <crash> [<^he> sat down and cried.|<^he> began to cry.|Big tears ran
down <his> face.]
"Do not cry," said <F>. "[You can have half of mine|I will share mine with you]." "[You are so kind|Thank you, <F>]," said
<H>. "[I wanted too much|Next time I will listen]." The two friends <eat>. {learned} [if you want too much, you may end up
with nothing|a little is enough when you share it|enough is better than too much].)";

constexpr std::string_view kGreedChildren = R"(where ; elder ; small ; much ; crash ; eat
to the woods to pick berries ; <H>'s [mom|dad|grandma] ; filled one small basket ; filled <his> big basket to the very top ; the handle broke, and all <his> berries rolled into the mud. ; sat in the grass and ate the sweet berries
to the beach to look for shells ; <F>'s [mom|dad|grandpa] ; put five pretty shells in <fhis> pocket ; filled a whole bag with shells ; the bag ripped, and all <his> shells fell into the sea. ; sat on the sand and made a picture out of the shells
to the farm to pick apples ; [the old farmer|<H>'s grandpa] ; picked a few red apples ; put more and more apples on <his> cart ; the cart tipped over, and all <his> apples rolled into the river. ; sat under a tree and ate the red apples
to the field to pick flowers ; <H>'s [mom|grandma|aunt] ; picked a small bunch of flowers ; picked so many that <he> could not see over them ; <he> tripped and fell, and all <his> flowers were crushed. ; put the flowers in two cups of water
to the fair to buy candy ; <F>'s [mom|dad|aunt] ; bought one small bag of candy ; piled <his> candy up in <his> hat ; the wind took the hat, and all <his> candy fell into the river. ; sat on a bench and ate the candy
)";
constexpr std::string_view kGreedAnimals = R"(where ; elder ; small ; much ; crash ; eat
to the woods to pick berries ; [the wise old owl|an old badger] ; filled one small basket ; filled <his> big basket to the very top ; the handle broke, and all <his> berries rolled into the mud. ; sat in the grass and ate the sweet berries
to the big tree to gather nuts ; [the wise old owl|an old deer] ; put six nuts in a leaf ; stuffed so many nuts in <his> bag that it could not close ; the bag ripped, and all <his> nuts fell into the river. ; sat on a log and ate the crunchy nuts
to the field to dig up carrots ; [the kind farmer|an old goose] ; took two small carrots ; piled carrots on <his> cart, higher and higher ; the cart tipped over, and all <his> carrots fell into the pond. ; sat by the fire and ate the carrots
to the old tree to pick pears ; [the wise old owl|an old goat] ; picked three yellow pears ; put more and more pears in a thin net ; the net broke, and all <his> pears rolled down the hill. ; sat in the shade and ate the juicy pears
)";

constexpr std::string_view kAdvice = R"(
{open} One [day|morning], <H> wanted to <go>. "<warn>," said <elder>. But <H> did not [listen|want to listen]. "<excuse>," <he>
said, and <he> ran off. [At first, all was well.|At first, it was fun.|] Then <trouble>. "Help! [Help!|Please help me!]" <he>
[called|cried]. {Friend} [was close by|was not far away] and [heard <him>|ran to <him>].
<rescue>
[Back at home|When they were home|When they came home], <H> said, "I am [so|very] sorry. I should have listened to you."
<^elder> [gave <him> a big hug|hugged <him> tight]. The next time, <next>. {learned} [it is wise to listen to those who care
for you|good advice keeps us safe|a moment of care can save a lot of trouble].)";

constexpr std::string_view kAdviceChildren = R"(elder ; go ; warn ; excuse ; trouble ; rescue ; next
<his> [mom|dad|grandma|grandpa] ; play in the snow ; Put on your warm coat ; I will not be cold ; the wind began to blow, and <he> was so cold that <he> could not stop shaking ; <^fhe> wrapped <fhis> own long scarf around <H>. ; <H> put on <his> coat before <he> went out
<his> [mom|dad|grandma|grandpa] ; go to the woods ; Stay on the path ; I know the way ; <he> ran after a butterfly, and soon all the trees looked the same ; <^fhe> rang a little bell until <H> found the way back to the path. ; <H> stayed on the path
<his> [mom|dad|grandma|grandpa] ; run in the park ; Tie your shoes first ; I will do it later ; <he> stepped on the lace and fell into a big puddle ; <^fhe> pulled <H> out of the puddle and helped <him> tie <his> shoes. ; <H> tied <his> shoes before <he> ran
<his> [mom|dad|grandma|grandpa] ; play by the frozen pond ; Stay off the ice, for it is thin ; It looks strong to me ; the ice cracked, and <his> foot went into the cold water ; <^fhe> held out a long branch and pulled <H> to the shore. ; <H> stayed far away from thin ice
<his> [mom|dad|grandma|grandpa] ; climb the apple tree ; Wait until I can hold the ladder ; I can do it alone ; the ladder fell, and <he> hung from a branch ; <^fhe> put the ladder back and held it until <H> was down. ; <H> waited until someone could hold the ladder
<his> [mom|dad|grandma|grandpa] ; take <his> boat out on the lake ; Look at the sky, for a storm is coming ; It is only a small cloud ; the wind blew hard, and big waves came over the side ; <^fhe> threw <him> a rope and pulled the boat to the shore. ; <H> looked at the sky first
)";
constexpr std::string_view kAdviceAnimals = R"(elder ; go ; warn ; excuse ; trouble ; rescue ; next
<his> [mother|father|grandmother|grandfather] ; go into the deep forest ; Stay on the path ; I know the way ; <he> ran after a butterfly, and soon all the trees looked the same ; <^fhe> sang a song until <H> found the way back to the path. ; <H> stayed on the path
<his> [mother|father|grandmother|grandfather] ; look for honey ; Leave the bees alone ; They will not see me ; the bees came out and flew after <him> ; <^fhe> pulled <H> into a hollow log and shut the hole with leaves. ; <H> said hello to the bees from far away
<his> [mother|father|grandmother|grandfather] ; slide on the pond ; Stay off the ice, for it is thin ; It looks strong to me ; the ice cracked, and <his> foot went into the cold water ; <^fhe> held out a long branch and pulled <H> to the shore. ; <H> stayed far away from thin ice
<his> [mother|father|grandmother|grandfather] ; play by the river ; The water is too fast today ; I will be careful ; <he> slipped, and the water began to carry <him> away ; <^fhe> threw a long vine into the river and pulled <H> out. ; <H> waited until the river was calm
<his> [mother|father|grandmother|grandfather] ; eat the green apples ; Wait until they are red ; I am hungry now ; <his> tummy began to hurt so much that <he> could not walk ; <^fhe> made <him> some warm tea and stayed with <him>. ; <H> waited until the apples were red
)";

}  // namespace

void add_lesson_plots(std::vector<Plot>& plots) {
  plots.push_back(make_plot("proud", World::Children, Cast::Pair, {kProudChildren}, kProud));
  plots.push_back(make_plot("proud", World::Animals, Cast::Pair, {kProudAnimals}, kProud));
  plots.push_back(make_plot("lie", World::Children, Cast::Solo, {kLieChildren}, kLie));
  plots.push_back(make_plot("lie", World::Animals, Cast::Solo, {kLieAnimals}, kLie));
  plots.push_back(make_plot("greed", World::Children, Cast::Pair, {kGreedChildren}, kGreed));
  plots.push_back(make_plot("greed", World::Animals, Cast::Pair, {kGreedAnimals}, kGreed));
  plots.push_back(make_plot("advice", World::Children, Cast::Pair, {kAdviceChildren}, kAdvice));
  plots.push_back(make_plot("advice", World::Animals, Cast::Pair, {kAdviceAnimals}, kAdvice));
}

}  // namespace rt::data
