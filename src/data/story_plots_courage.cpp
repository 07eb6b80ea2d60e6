#include "data/story_grammar.h"

// Plots about oneself: a fear overcome, practice, patience.
namespace rt::data {
namespace {

constexpr std::string_view kFear = R"(
{open} <H> was afraid of [just|only] one thing: <fear>. One day, {friend} asked <him> to <invite>. <H> wanted to go, but <his>
[legs shook|knees shook|heart beat fast]. "[I can't|I am scared]," <he> [whispered|said in a small voice]. "<worry>" "[I was
afraid once, too|I used to be afraid, too]," said <F>. "[Let us try together|We can go slowly]. <tip>" <H> [took a deep
breath|thought about it and nodded|looked at <F> and nodded]. <step> <find> "I did it!" <H> [shouted|called|cried with joy].
[From that day on|After that day], <after>. {learned} [being brave means trying even when you are afraid|a fear gets smaller
when you face it|big fears get small when you take small steps|a good friend can help you be brave].)";

constexpr std::string_view kFearChildren = R"(fear ; invite ; worry ; tip ; step ; find ; after
the dark ; sleep in a tent in the yard ; What if something is hiding there? ; You can hold the lamp. ; That night they sat in the tent, and <he> slowly turned down the lamp. ; Outside, the sky was full of [bright|shining] stars, and an owl sang softly. ; <H> liked to look at the stars at night
deep water ; swim in the lake ; What if I sink? ; You can hold my {hand}. ; First <he> put in one toe, then both legs, and then <he> let go. ; The water held <him> up, and <he> [floated like a leaf|kicked and splashed]. ; <H> swam in the lake every week
the big slide ; go down the big slide ; What if I fall? ; I will wait for you at the bottom. ; <^he> climbed up one step, and then one more, until <he> was at the top. ; Down <he> went, [as fast as the wind|laughing all the way]. ; the big slide was the place <he> loved most
big dogs ; meet a big dog called Bear ; What if it bites me? ; Bear is gentle. Hold out your hand and stand still. ; <^he> stood very still and held out <his> hand. ; The big dog licked <his> fingers and wagged its [long|fluffy] tail. ; <H> gave Bear a pat each time they met
singing for other people ; sing at the school show ; What if I forget the words? ; If you forget, look at me. ; When the music began, <he> looked at <F> and sang the first word, and then the next. ; Soon the whole room was [clapping|singing along]. ; <H> would sing for anyone who asked
riding a bike ; ride to the park ; What if I fall? ; I will hold the seat until you are ready. ; <^he> pushed one pedal, then the other, and <F> let go. ; The bike went [straight down the road|on and on], and <he> did not fall. ; <H> rode <his> bike every day
the attic ; look for old toys in the attic ; What if there is a ghost? ; I will go up the stairs first. ; They went up the stairs, one by one, and <he> opened the door. ; There was no ghost, only [an old rocking horse|a box of old dolls|a train set] in the sun. ; the attic was <his> favorite place to play
)";
constexpr std::string_view kFearAnimals = R"(fear ; invite ; worry ; tip ; step ; find ; after
the dark cave ; see the shiny stones in the cave ; What if something is hiding there? ; You can hold the lantern. ; They walked in slowly, one step and then one more. ; The walls shone like [a thousand stars|the night sky]. ; <H> often went back to see the shining walls
the river ; cross the river to pick berries ; What if I fall in? ; We can walk on the stones. You can hold my paw. ; <^he> put one foot on the first stone, and then one on the next. ; Soon <he> stood on the other side, dry and safe, next to the [biggest|sweetest] berries in the forest. ; <H> crossed the river every day
high places ; climb the hill of rocks ; What if I fall? ; Look up and do not look down. ; <^he> climbed onto the first rock, and rested, and then climbed onto the next. ; From the top, <he> could see [the whole forest|the far blue sea]. ; the top of the hill was <his> favorite place
the wind ; fly a kite on the hill ; What if it blows me away? ; Hold my paw and the string. ; They stood close together and let the kite go. ; Up it went, and the wind made it [dance|spin and dance]. ; <H> smiled each time the wind began to blow
meeting new animals ; come to the [spring|summer] party ; What if no one likes me? ; Just smile and say hello. ; <^he> walked in, smiled, and said hello to a small toad. ; The toad smiled back, and soon <H> was [dancing|laughing] with everyone. ; <H> was the first to say hello to anyone new
the night ; watch the moon come up ; What if I cannot see the way? ; The moon will be our lamp. ; They walked to the top of the hill and waited. ; Then the moon came up, [round and white|big and bright], and all the grass turned to silver. ; <H> loved the quiet of the night
)";

constexpr std::string_view kPractice = R"(
{open} [More than anything|More than anything else], <he> wanted to <skill>. One [day|morning], <he> tried for the first
time. <fail> "[I will never learn it|I can't do it|It is too hard]!" <H> [cried|said].
"[When I began, I could not do it either|It was hard for me at first, too]," said {friend}. "<tip> And try a little every
day." So <H> tried again the next day. <better> [Each day, <he> got a little better.|<^he> did not give up.] [After one
week|After many days|At the end of the week], <he> [took a deep breath and|smiled and] tried once more. <done> "[I did
it|Look at me]!" <H> [shouted|called|cried]. <F> [clapped <fhis> {hands}|cheered|jumped up and down]. {learned} [you can do
hard things when you keep trying|everyone falls before they can fly|practice makes hard things easy].)";

constexpr std::string_view kPracticeChildren = R"(skill ; fail ; tip ; better ; done
ride a bike ; The bike tipped over. ; Look far ahead, not at your feet. ; This time <he> rode past [two|three|four] trees. ; <^he> rode all the way down the street.
whistle ; Only air came out. ; Make your mouth small and round. ; This time there was a tiny squeak. ; Out came a~[clear|loud|long] whistle, and a bird sang back.
swim ; <^he> went under and got water in <his> nose. ; Kick your legs like a frog. ; This time <he> stayed up while <F> counted to [three|four|five]. ; <^he> swam all the way across the pool.
jump rope ; The rope got caught on <his> feet. ; Listen to the rope and jump when it hits the ground. ; This time <he> jumped [three|four|five] times. ; <^he> jumped [twenty|thirty|fifty] times without a stop.
skip stones on the pond ; The stone sank with a plop. ; Find a flat stone and throw it low. ; This time the stone skipped once. ; The stone skipped [five|six|seven] times over the water.
skate ; <^he> fell on <his> bottom. ; Bend your knees a little. ; This time <he> made [four|five|six] steps on the ice. ; <^he> skated in a big, smooth circle.
play the [flute|horn] ; It made an ugly noise. ; Blow softly, as if you were cooling soup. ; This time there was one clear note. ; <^he> played a whole [song|tune], sweet and clear.
)";
constexpr std::string_view kPracticeAnimals = R"(skill ; fail ; tip ; better ; done
swim ; <^he> went under and got water in <his> nose. ; Kick your legs like a frog. ; This time <he> stayed up while <F> counted to [three|four|five]. ; <^he> swam all the way across the pond.
walk on the log over the stream ; <^he> fell into the water with a splash. ; Look far ahead, not at your feet. ; This time <he> got [half of the way|almost to the middle]. ; <^he> walked all the way to the other side.
whistle like a bird ; Only air came out. ; Make your mouth small and round. ; This time there was a tiny squeak. ; Out came a~[clear|loud|long] whistle, and a bird sang back.
skip stones on the pond ; The stone sank with a plop. ; Find a flat stone and throw it low. ; This time the stone skipped once. ; The stone skipped [five|six|seven] times over the water.
climb the tall tree ; <^he> slid down to the ground. ; Hold on tight and rest at every branch. ; This time <he> got to the [first|second|third] branch. ; <^he> climbed to the very top and saw the whole forest.
throw and catch three nuts ; All the nuts fell on <his> head. ; Begin with one nut, and then take two. ; This time <he> kept [one nut|two nuts] in the air. ; Three nuts went up and down, and none of them fell.
play the [flute|horn] ; It made an ugly noise. ; Blow softly, as if you were cooling soup. ; This time there was one clear note. ; <^he> played a whole [song|tune], sweet and clear.
)";

constexpr std::string_view kPatience = R"(
{open} One [day|morning|afternoon], <H> got <gift> from <elder>. "<how>," said <elder>. "[It takes time|Do not
rush it]." <H> <did>. [<^he> could hardly wait.|"I hope it will be quick," <he> said.|] <when> <he> [looked|took a look], but
<nothing>. <H> did not want to [wait|wait any longer]. <spoil>
"[I should have waited|I was too fast]," <he> said sadly. "[That is all right|Do not be sad]," said <elder>. <second> This
time, <H> <care>. [<^he> waited and waited.|It was hard to wait, but <he> did it.|] <reward> <H> [smiled|was proud|laughed
with joy]. {learned} [good things take time|it is worth it to wait|you cannot rush a good thing].)";

constexpr std::string_view kPatienceChildren =
    R"(elder ; gift ; how ; did ; when ; nothing ; spoil ; second ; care ; reward
<his> [mom|dad|grandma|grandpa] ; a sunflower seed ; Plant it and give it water every day ; planted it in the garden ; The next day, ; nothing had come up ; <^he> dug up the seed to look at it, and its tiny root broke. ; "Here is one more seed." ; gave it water every day and let it grow ; One day a green leaf came up, and at last there was a sunflower taller than <H>.
<his> [mom|dad|grandma|grandpa] ; a ball of bread dough ; Put it in a bowl and let it rest ; put it in a bowl by the warm stove ; After a little while, ; the dough was still small ; <^he> poked it again and again, and it went flat. ; "Let us make it round again." ; covered the bowl and read a book ; The dough got big and round, and soon there was a loaf of warm bread.
<his> [mom|dad|grandma|grandpa] ; a wooden boat and some [red|blue|green] paint ; Paint it and let it dry ; painted the whole boat ; After a little while, ; the paint was still wet ; <^he> grabbed the boat, and there were finger marks all over it. ; "We can paint it once more." ; left the boat in the sun and went to play ; When <he> came back, the boat was dry and shiny, and it sailed across the pond.
<his> [mom|dad|grandma|grandpa] ; a~[strawberry|tomato] plant ; Give it water until the fruit is red ; put it by the window ; The next week, ; the fruit was still green ; <^he> picked it anyway and took a bite, and it was hard and sour. ; "Look, there is one more." ; only looked at it each day ; At last the fruit was big and red, and it was the sweetest <he> had ever tasted.
<his> [mom|dad|grandma|grandpa] ; a cup of juice and a stick ; Leave them in the freezer until tomorrow ; put the stick in the cup and the cup in the freezer ; An hour later, ; it was still juice ; <^he> pulled out the stick, and the juice spilled all over the floor. ; "Let us fill the cup again." ; went to bed and did not touch it ; In the morning, there was a sweet, cold treat on a stick.
)";
constexpr std::string_view kPatienceAnimals =
    R"(elder ; gift ; how ; did ; when ; nothing ; spoil ; second ; care ; reward
[the wise old owl|the kind old badger|the gentle deer] ; a tiny seed ; Plant it and give it water every day ; planted it by the stream ; The next day, ; nothing had come up ; <^he> dug up the seed to look at it, and its tiny root broke. ; "Here is one more seed." ; gave it water every day and let it grow ; One day a green leaf came up, and at last there was a flower taller than <H>.
[the wise old owl|the kind old badger|the gentle deer] ; a lump of wet clay ; Make a cup and let it dry in the sun ; made a round cup and put it on a rock ; After a little while, ; the cup was still soft ; <^he> filled it with water anyway, and it turned back into mud. ; "There is more clay by the river." ; left the cup in the sun and went for a walk ; When <he> came back, the cup was hard and strong, and <he> drank cool water from it.
[the wise old owl|the kind old badger|the gentle deer] ; a little pear tree ; Wait until the pears are yellow ; gave the tree some water ; The next day, ; the pears were still green ; <^he> picked one anyway and took a bite, and it was hard and sour. ; "There are more pears on the tree." ; only looked at the tree each day ; At last a yellow pear fell right into <his> paws, and it was as sweet as honey.
[the wise old owl|the kind old badger|the gentle deer] ; a fishing pole ; Sit still and wait for a fish ; sat down by the pond and threw in the line ; After a little while, ; there was still no fish ; <^he> jumped up and splashed in the water, and all the fish swam away. ; "The fish will come back." ; sat as still as a stone ; At last the line shook, and <he> caught a big fish for supper.
[the wise old owl|the kind old badger|the gentle deer] ; a pot of berries and honey ; Let it cook until it is thick ; put the pot over a small fire ; After a little while, ; the jam was still thin ; <^he> put too much wood on the fire, and the jam burned black. ; "There are more berries in the woods." ; kept the fire small and stirred slowly ; At last the jam was thick and sweet, and there was a jar for everyone.
)";

}  // namespace

void add_courage_plots(std::vector<Plot>& plots) {
  plots.push_back(make_plot("fear", World::Children, Cast::Pair, {kFearChildren}, kFear));
  plots.push_back(make_plot("fear", World::Animals, Cast::Pair, {kFearAnimals}, kFear));
  plots.push_back(make_plot("practice", World::Children, Cast::Pair, {kPracticeChildren}, kPractice));
  plots.push_back(make_plot("practice", World::Animals, Cast::Pair, {kPracticeAnimals}, kPractice));
  plots.push_back(make_plot("patience", World::Children, Cast::Solo, {kPatienceChildren}, kPatience));
  plots.push_back(make_plot("patience", World::Animals, Cast::Solo, {kPatienceAnimals}, kPatience));
}

}  // namespace rt::data
