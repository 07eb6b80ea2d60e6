#include "data/story_grammar.h"

// Plots about care for others: kindness repaid, a promise, a present made by hand.
namespace rt::data {
namespace {

constexpr std::string_view kRepay = R"(
{open} One [day|morning|sunny day], <H> was on the way to [the market|a picnic|a party|the fair]. By the road <he> saw
<victim> <trouble>. "[Do not be afraid|Hold still], little <vnoun>," <he> said, and <he> <helped>. "[Thank you|Oh, thank
you]!" said the <vnoun>. "One day, I will help you, too." <H> [smiled|laughed]. "How could someone so small help me?" <he>
thought.
[A few days later|The next week|Some time later], <bad>. <^he> [did not know what to do|was very worried|sat down and began to
cry]. Just then, the <vnoun> came by. "[Now it is my turn to help|You helped me, and now I will help you]," it said. <repay>
"[Thank you, my friend|You are a true friend]!" said <H>. {learned} [kindness comes back to you|even the smallest friend can
be a big help|no kind act is too small].)";

constexpr std::string_view kRepayChildren = R"(vnoun ; victim ; trouble ; helped ; bad ; repay
bird ; a~[small|gray|brown] bird ; with its foot caught in a string ; gently untied the string ; <H> got lost in the [deep|dark] woods ; The bird flew above the trees and showed <him> the way home.
fish ; a~[little|silver|golden] fish ; stuck in a puddle next to the lake ; carried it back to the lake in a cup ; <H> dropped <his> [key|ring|new watch] into the lake ; The fish swam down, down, down and brought it back.
mouse ; a~[tiny|gray|little] mouse ; stuck under a branch ; lifted the branch ; <H> got <his> foot caught in an old net ; The mouse bit through the net, one string at a time.
ant ; an ant ; on a leaf in a deep puddle ; put the leaf on dry ground ; <H> dropped a bag of [seeds|beads|beans] in the grass ; The ant called all its friends, and they found every one.
bee ; a~[wet|tired|tiny] bee ; in a puddle ; lifted it out with a leaf ; <H> could not find any flowers for <his> [mom|grandma] ; The bee led <him> to a field full of [red|yellow|blue] flowers.
puppy ; a~[brown|fluffy|sad] puppy ; with a thorn in its paw ; pulled out the thorn ; <H> lost <his> [shoe|hat|bag] in the tall grass ; The puppy sniffed here and there, and soon it found what <he> had lost.
turtle ; a~[small|green] turtle ; lying on its back ; turned it over ; <H> let go of <his> toy boat, and it drifted far out on the pond ; The turtle swam out and pushed the boat to the shore.
)";
constexpr std::string_view kRepayAnimals = R"(vnoun ; victim ; trouble ; helped ; bad ; repay
bird ; a~[small|gray|blue] bird ; with its foot caught in a string ; gently untied the string ; <H> got lost in the [deep|dark] forest ; The bird flew above the trees and showed <him> the way home.
fish ; a~[little|silver|golden] fish ; stuck in a puddle next to the pond ; carried it back to the pond in a shell ; <H> dropped <his> [bell|ring|shiny stone] into the pond ; The fish swam down, down, down and brought it back.
ant ; an ant ; on a leaf in a deep puddle ; put the leaf on dry ground ; <H> dropped a bag of [seeds|beans|berries] in the grass ; The ant called all its friends, and they found every one.
firefly ; a~[small|tired|tiny] firefly ; caught in a spider web ; pulled the web away ; <H> was far from home when it got dark ; The firefly lit its tiny lamp and led <him> all the way home.
bee ; a~[wet|tired|tiny] bee ; in a puddle ; lifted it out with a leaf ; <H> could not find any flowers for <his> [mother|grandmother] ; The bee led <him> to a field full of [red|yellow|blue] flowers.
turtle ; a~[small|green] turtle ; lying on its back ; turned it over ; <H> let go of <his> little boat, and it drifted far out on the pond ; The turtle swam out and pushed the boat to the shore.
)";

constexpr std::string_view kPromise = R"(
{open} One day, {friend} was going away for [a few days|five days|a week]. "Will you <task> while I am gone?" <F> asked. "Yes, I
promise," said <H>. But <he> [went out to play|met
some friends|had a visitor], and <he> forgot. [The next morning, <he> remembered.|Two days later, <he> remembered.] "Oh no, my
promise!" <he> cried, and <he> ran as fast as <he> could. <bad> <H> felt [terrible|so sorry]. <amend> <slow> When <F> came back,
<H> told <fhim> [everything|the truth]. "I forgot my promise. I am so sorry," <he> said. "Thank you for [telling me|being
honest]," said <F>. "[And thank you for making it right|I can see that you worked hard]." {learned} [a promise is a thing to
keep|a friend counts on your word|it is never too late to make things right].)";

constexpr std::string_view kPromiseChildren = R"(task ; bad ; amend ; slow
water my flowers ; The flowers were dry, and they hung their heads. ; <^he> gave them cool water in the morning and in the [evening|afternoon]. ; Slowly, the flowers stood up again.
feed my rabbit ; The rabbit was hungry and sat sadly in a corner. ; <^he> gave it fresh [carrots|grass] and clean water. ; The rabbit ate and ate, and then it hopped around again.
feed the birds in my garden ; There was no food left, and not one bird was singing. ; <^he> put out [seeds and bread|nuts and seeds] and sat very still. ; One by one, the birds came back and sang.
look after my cat ; The cat was hungry, and it cried at the door. ; <^he> gave it [milk and fish|food and water] and brushed its fur. ; The cat began to purr and fell asleep on <his> lap.
water my tomatoes ; The leaves were brown, and the ground was hard. ; <^he> gave them water and pulled out [the weeds|all the weeds]. ; Little by little, the leaves turned green again.
)";
constexpr std::string_view kPromiseAnimals = R"(task ; bad ; amend ; slow
water my flowers ; The flowers were dry, and they hung their heads. ; <^he> carried cool water from the stream in the morning and in the [evening|afternoon]. ; Slowly, the flowers stood up again.
look after my garden ; There were weeds all over the carrots. ; <^he> pulled out the weeds, one by one, until [the sun went down|it was dark]. ; At last the garden was neat again.
feed my pet snail ; The snail was hungry, and it had gone into its shell. ; <^he> brought it fresh [leaves|grass] and sang to it. ; Slowly, the snail came out and ate.
keep my fire burning ; The fire was out, and the little house was cold. ; <^he> brought dry wood and blew on the [last warm coal|gray coals]. ; Slowly, a small flame jumped up again.
sweep the leaves from my path ; The path was gone under a hill of leaves. ; <^he> swept and swept until <his> [arms|paws] were tired. ; At last the path was clean again.
)";

constexpr std::string_view kGift = R"(
{open} [Tomorrow was|It was almost] the birthday of <his> <rel>. In [a shop window|the market], <H> saw <fancy>. But <he> had
only [two|three|four] coins, and that was not enough. "[What is wrong|Why are you sad]?" asked {friend}. <H> told <fhim>
everything. "You can make a present yourself. What does
your <rel> love?" asked <F>. "<love>," said <H>. [Then <he> had an idea.|Then <his> eyes lit up.] <^he> <make>. <flaw>
The next day, <H> gave the present to <his> <rel>. "It is [only a small thing|not perfect]," <he> said [shyly|softly]. But
<his> <rel> [smiled and smiled|could not stop smiling]. "You made this for me? [It is the best present of all|I love it more
than anything in a shop]!" {learned} [a gift from the heart is the best gift|love is worth more than gold|a present made
with love is better than one from a shop].)";

constexpr std::string_view kGiftChildren = R"(rel ; fancy ; love ; make ; flaw
[mom|grandma|aunt] ; a gold [ring|necklace] ; Flowers ; planted [red|yellow|pink] flowers in a pot and painted the pot blue ; The blue paint was not very even.
[dad|grandpa|uncle] ; a big silver [clock|watch] ; The sea ; painted a picture of the [sea and a ship|waves and the sun] ; The sun in it was a bit too big.
[mom|dad|grandma] ; a box of fine [candy|chocolate] ; Apple pie ; baked an apple pie with [sugar|nuts] on top ; One side of it was a little burned.
[grandma|grandpa|aunt] ; a soft [coat|blanket] ; Warm things ; made a long [red|green|blue] scarf out of wool ; It had one small hole in the middle.
[mom|dad|grandpa] ; a music box ; Songs ; wrote a~[sweet|funny|happy] song ; One line of it did not rhyme.
)";
constexpr std::string_view kGiftAnimals = R"(rel ; fancy ; love ; make ; flaw
[mother|grandmother|aunt] ; a gold [ring|bell] ; Flowers ; made a crown of [white|yellow|blue] flowers ; One flower in it was upside down.
[father|grandfather|uncle] ; a fine silver [cup|spoon] ; Honey cake ; baked a round honey cake with [nuts|berries] on top ; One side of it was a little burned.
[mother|father|grandmother] ; a soft [pillow|blanket] ; A good nap ; filled a little bag with soft [moss|feathers|leaves] to sleep on ; One corner of it was a bit too thick.
[father|mother|grandfather] ; a music box ; The song of the rain ; made a~[little|long] wooden flute and learned to play the song of the rain ; One note was a bit too high.
[grandfather|grandmother|uncle] ; a glass lamp ; The stars ; painted [bright|tiny] stars on a smooth, dark stone ; One star was bigger than all the others.
)";

}  // namespace

void add_care_plots(std::vector<Plot>& plots) {
  plots.push_back(make_plot("repay", World::Children, Cast::Solo, {kRepayChildren}, kRepay));
  plots.push_back(make_plot("repay", World::Animals, Cast::Solo, {kRepayAnimals}, kRepay));
  plots.push_back(make_plot("promise", World::Children, Cast::Pair, {kPromiseChildren}, kPromise));
  plots.push_back(make_plot("promise", World::Animals, Cast::Pair, {kPromiseAnimals}, kPromise));
  plots.push_back(make_plot("gift", World::Children, Cast::Pair, {kGiftChildren}, kGift));
  plots.push_back(make_plot("gift", World::Animals, Cast::Pair, {kGiftAnimals}, kGift));
}

}  // namespace rt::data
