#include "data/story_grammar.h"

// Plots between friends: a lost thing, sharing, a newcomer, working together.
namespace rt::data {
namespace {

constexpr std::string_view kLost = R"(
{open} <^his> favorite thing was <item>. One [day|morning|afternoon], <H> could not find it. "[Where is it|Oh no, where
can it be]?" <he> [cried|said sadly]. <^he> looked <look1> and <look2>, but it was not there.
"[Do not worry|Don't be sad|Do not cry], <H>. I will help you," said {friend}. "Where did you have it last?" <H> [thought
hard|closed <his> eyes and thought|thought for a moment]. "<last>," <he> said. [Together they|So they|The two friends]
[ran|went|hurried] to <place>. [Soon|At last,] <F> [called out|shouted], "[Look, there it is|I see it]!" The <noun> was
<spot>. <why> <H> [jumped for joy|smiled a big smile|laughed with joy] and gave <F> a hug. {learned} [two friends can find
what one friend cannot|a good friend makes a hard day easier|it helps to stop and think when something is lost].)";

constexpr std::string_view kLostChildren = R"(noun ; item ; look1 ; look2 ; last ; place ; spot ; why
ball ; a~[red|blue|yellow|green] ball ; under the bed ; behind the couch ; I was playing in the garden ; the garden ; under a leafy bush ; It had rolled there all by itself.
teddy bear ; a~[soft|brown|small|fluffy] teddy bear ; in the toy box ; under the blanket ; I had a picnic by the old tree ; the old tree ; lying in the tall grass ; It had fallen out of <his> basket.
hat ; a~[warm|red|blue|funny] hat ; in the closet ; behind the door ; I was feeding the ducks ; the pond ; hanging on a low branch ; The wind had blown it off <his> head.
kite ; a~[red|yellow|big|purple] kite ; in the shed ; under the stairs ; I flew it on the hill ; the hill ; stuck in a small tree ; The wind had carried it there.
book ; a book about [bears|stars|ships|dragons] ; on the shelf ; under the pillow ; I was reading in the park ; the park ; under a bench ; It had slipped off <his> lap.
toy boat ; a~[white|wooden|little|blue] toy boat ; in the bathtub ; under the sink ; I was playing by the stream ; the stream ; between two big stones ; The water had carried it there.
drum ; a~[little|round|red|shiny] drum ; in the hall ; under the table ; I was playing for the birds ; the backyard ; behind the apple tree ; <^he> had left it there when lunch was ready.
)";
constexpr std::string_view kLostAnimals = R"(noun ; item ; look1 ; look2 ; last ; place ; spot ; why
blue feather ; a~[long|soft|small|lovely] blue feather ; under the bed of leaves ; behind the door ; I was dancing in the meadow ; the meadow ; caught in a bush ; The wind had carried it there.
shiny stone ; a~[smooth|round|white|green] shiny stone ; under the mossy log ; behind the big rock ; I was washing it in the stream ; the stream ; at the bottom of the clear water ; It had slipped out of <his> {hands}.
bell ; a~[little|silver|golden|tiny] bell ; in the corner ; under the table ; I was running down the hill ; the hill ; lying in the tall grass ; Its string had broken on the way down.
flute ; a~[wooden|little|long|old] flute ; on the shelf ; beside the fire ; I was playing for the frogs ; the pond ; on top of a flat stone ; <^he> had left it there when the rain came.
scarf ; a~[warm|red|striped|yellow] scarf ; behind the chair ; under the window ; I was picking berries ; the berry patch ; hanging on a bush ; A thorn had pulled it from <his> neck.
acorn cup ; a~[tiny|brown|round|pretty] acorn cup ; on the table ; beside the sink ; I had a picnic by the oak tree ; the oak tree ; under a big leaf ; It had rolled there all by itself.
)";

constexpr std::string_view kShare = R"(
{open} One [day|morning|sunny day], <H> [got|was given] <mine>. {Friend} came by with <yours>. "[May|Can] we share your
<mynoun>?" asked <F>. "No! <are> mine," said <H>[, and <he> held <them> tight|, and <he> turned away|]. <F> [felt sad and
went home|looked down and walked away|went away with tears in <fhis> eyes].
<H> tried to <goal> alone. <need> "I was not [kind|a good friend]," <he> thought. So <he> [ran|hurried|went] to <F> and
said, "[I am sorry|I am so sorry]. [Let us share|I want to share with you]." <F> [smiled|smiled at once|gave <him> a big
smile]. [Soon|Together] they <did>. {learned} [sharing makes everything more fun|two can do more than one when they
share|a thing is nicer when you share it].)";

constexpr std::string_view kShareChildren = R"(mine ; mynoun ; them ; are ; yours ; goal ; need ; did
a box of crayons ; crayons ; them ; They are ; a big sheet of paper ; draw a picture ; But <he> had nothing to draw on. ; drew a~[big|bright|lovely] picture of [the sea|a castle|a farm]
a loaf of fresh bread ; bread ; it ; It is ; a jar of [plum|cherry|strawberry] jam ; make a nice lunch ; But the bread alone was dry and plain. ; made [sweet|tasty|big] jam sandwiches
a~[red|yellow|blue] kite ; kite ; it ; It is ; a ball of string ; fly the kite ; But without a string, it only fell down. ; flew the kite [high over the trees|up to the clouds]
a new bat ; bat ; it ; It is ; a~[white|red|small] ball ; play a game ; But <he> had no ball to hit. ; played a long game [in the park|in the yard]
a~[red|blue|yellow] shovel ; shovel ; it ; It is ; a~[big|green|round] bucket ; build a sand castle ; But the sand was too dry, and <he> had no bucket to bring water. ; built a sand castle with [four|five|six] towers
a bag of flour ; flour ; it ; It is ; a bowl of eggs ; bake a cake ; But <he> had no eggs, and the cake came out flat. ; baked a~[tall|sweet|round] cake
a~[strong|big] wooden box ; box ; it ; It is ; four [old|little|round] wheels ; make a car ; But the box would not roll. ; made a little car and rode it [down the hill|down the street]
)";
constexpr std::string_view kShareAnimals = R"(mine ; mynoun ; them ; are ; yours ; goal ; need ; did
a pile of nuts ; nuts ; them ; They are ; a pot of [sweet|golden] honey ; make a cake ; But the nuts would not stick together. ; made a~[big|sweet|round] honey cake
a pile of sticks ; sticks ; them ; They are ; a pile of [soft|dry|big] leaves ; build a hut ; But the wind blew right through it. ; built a snug little hut [by the river|under the trees]
a~[long|strong] rope ; rope ; it ; It is ; a~[flat|smooth] board ; make a swing ; But a rope with no seat was hard to sit on. ; made a swing under the [old|tall] oak tree
a little boat ; boat ; it ; It is ; a~[long|strong|wooden] paddle ; cross the pond ; But the boat only went around and around. ; crossed the pond and had a picnic on [the other side|a tiny island]
a basket of carrots ; carrots ; them ; They are ; a~[big|round|black] pot ; make soup ; But <he> had nothing to cook them in. ; made [hot|warm|tasty] soup and ate it by the fire
a~[little|round] drum ; drum ; it ; It is ; a~[wooden|silver] flute ; make a song ; But the drum alone had no tune. ; played a song that made all the [birds|frogs] sing
)";

constexpr std::string_view kNew = R"(
{open} One [day|morning], a new <fkind> named <F> came to <place>. <F> was shy and sat all alone [under a tree|by the
path|in the shade]. "[It must be hard to be new|I would be sad if I had no friends here]," <H> thought. So <he> [walked
over|went to <F>] and said, "[Hello|Hi]! I am <H>. [Do you want|Would you like] to <game> with us?" <F> [looked up and
smiled|gave a small smile|nodded and smiled].
[It was fun, but soon|They all had fun, but then] <problem>. "[Let me try|I think I can help]," said <F>. <solve> [Everyone
clapped|They all cheered|Everyone was amazed]. "[That was great|How clever you are|Well done], <F>!" said <H>. [After
that|From that day on], they were best friends. {learned} [a kind hello can start a great friendship|everyone has
something special to give|it is good to be kind to someone new].)";

constexpr std::string_view kNewChildren = R"(place ; game ; problem ; solve
the [school|park] ; play ball ; the ball got stuck in a~[tall|big] tree ; <^fhe> climbed up like a squirrel and threw it down.
the [school|beach] ; fly a kite ; the string got full of knots ; <^fhe> sat down and untied the knots, one by one.
the [park|yard by the school] ; play hide and seek ; one child hid so well that no one could find the hiding place ; <^fhe> stood very still, listened, and heard a giggle behind the [wall|bushes].
the [park|village] ; build a fort ; the roof fell down again and again ; <^fhe> showed them how to tie the sticks, and the roof stayed up.
the [lake|park by the lake] ; sail toy boats ; the best boat got stuck far out on the water ; <^fhe> threw small stones behind it, and the waves pushed it back.
the [school|village] ; sing songs ; they had sung every song they knew ; <^fhe> taught them a~[lovely|merry|funny] song from <fhis> old home.
the [school|yard by the school] ; jump rope ; the rope broke in two ; <^fhe> tied it with a strong knot that <fhe> had learned from a sailor.
)";
constexpr std::string_view kNewAnimals = R"(place ; game ; problem ; solve
the [meadow|forest] ; play catch with a pine cone ; the pine cone fell into a~[deep|dark] hole ; <^fhe> reached down with a~[long|bent] stick and pulled it out.
the [meadow|forest] ; play hide and seek ; a baby rabbit hid so well that no one could find it ; <^fhe> sniffed the air and found it under a~[pile of leaves|big flower].
the [river|pond] ; sail leaf boats ; the best boat got stuck between two rocks ; <^fhe> dropped a stone in the water, and the wave set it free.
the [forest|valley] ; build a hut ; the rain came in through the roof ; <^fhe> covered the roof with [mud and moss|big wet leaves], and not one drop came in.
the [meadow|forest] ; sing songs ; they had sung every song they knew ; <^fhe> taught them a~[lovely|merry|funny] song from far away.
the [hill|valley] ; pick berries ; the path home was lost in the [fog|mist] ; <^fhe> put an ear to the ground, heard the river, and led them home.
)";

constexpr std::string_view kTogether = R"(
{open} One [day|morning|afternoon], <H> found <big>. "<want>," <he> said. <^he> <try>, but the <noun> did not move. {Friend}
came by and asked, "[May|Can] I help you?" "No, I can do it all by myself," said <H>. [Oops!|Bump!] <^he> [slipped and
fell|fell down]. <F> did not laugh. <^fhe> held out <fhis> {hand} and said, "[Two are stronger than one|Some things are too
big for one]." "[You are right|That is true]. Please help me," said <H>. So they <both>, and <elder> came to help, too. "One,
two, three!" they [called|shouted], and <result>! <after> {learned} [it is fine to ask for help|many {hands} make hard work
easy|friends can do together what no one can do alone].)";

constexpr std::string_view kTogetherChildren = R"(elder ; big ; noun ; want ; try ; both ; result ; after
[<F>'s mom|<F>'s dad|<H>'s grandpa|<H>'s grandma] ; a~[huge|giant] turnip in the garden ; turnip ; I will take it home for supper ; pulled and pulled ; pulled together ; it popped out of the ground ; That night they all ate [hot|warm] soup.
[a kind farmer|a tall girl|<F>'s dad] ; a cart full of [apples|hay|corn] stuck in the road ; cart ; I will push it out ; pushed and pushed ; pushed together ; it rolled free ; The old man who owned the cart gave them a ride home.
[a fisherman|a tall boy|<F>'s mom] ; a little boat stuck in the [sand|mud] ; boat ; I will push it into the water ; pushed and pushed ; pushed together ; it slid into the water ; They all went for a ride on the [lake|blue water].
[<H>'s dad|<H>'s mom|a kind farmer] ; a big log across the [path|road] ; log ; I will roll it away ; pushed and pushed ; pushed together ; it rolled off to the side ; Now everyone could [pass|walk by] again.
[a tall girl|a tall boy|<F>'s dad] ; a giant [snowball|ball of snow] on the hill ; snowball ; I will make a snowman with it ; pushed and pushed ; pushed together ; it rolled to just the right place ; They made the biggest snowman in {land}.
)";
constexpr std::string_view kTogetherAnimals = R"(elder ; big ; noun ; want ; try ; both ; result ; after
[a strong badger|a tall deer|a big goose] ; a~[huge|giant] turnip in the field ; turnip ; I will take it home for supper ; pulled and pulled ; pulled together ; it popped out of the ground ; That night they all ate [hot|warm] soup.
[a strong badger|a tall deer|a big goose] ; a~[big|heavy] log across the path ; log ; I will roll it away ; pushed and pushed ; pushed together ; it rolled off to the side ; Now everyone in the forest could [pass|walk by] again.
[a tall deer|a big goose|a kind swan] ; a little boat stuck in the [mud|reeds] ; boat ; I will push it into the water ; pushed and pushed ; pushed together ; it slid into the pond ; They all went for a ride on the [pond|quiet water].
[a strong badger|a tall deer|a big goose] ; a~[round|gray] rock in front of <his> door ; rock ; I will push it out of the way ; pushed and pushed ; pushed together ; it rolled down the hill ; Then <H> made [tea|cake] for them all.
[a strong badger|a kind goat|a tall deer] ; a cart full of [apples|nuts|hay] stuck in the mud ; cart ; I will pull it out ; pulled and pulled ; pulled together ; it rolled free ; They all shared [a snack|a song] on the way home.
)";

}  // namespace

void add_friend_plots(std::vector<Plot>& plots) {
  plots.push_back(make_plot("lost", World::Children, Cast::Pair, {kLostChildren}, kLost));
  plots.push_back(make_plot("lost", World::Animals, Cast::Pair, {kLostAnimals}, kLost));
  plots.push_back(make_plot("share", World::Children, Cast::Pair, {kShareChildren}, kShare));
  plots.push_back(make_plot("share", World::Animals, Cast::Pair, {kShareAnimals}, kShare));
  plots.push_back(make_plot("newcomer", World::Children, Cast::Pair, {kNewChildren}, kNew));
  plots.push_back(make_plot("newcomer", World::Animals, Cast::Pair, {kNewAnimals}, kNew));
  plots.push_back(make_plot("together", World::Children, Cast::Pair, {kTogetherChildren}, kTogether));
  plots.push_back(make_plot("together", World::Animals, Cast::Pair, {kTogetherAnimals}, kTogether));
}

}  // namespace rt::data
