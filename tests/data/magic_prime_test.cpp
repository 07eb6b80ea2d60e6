#include "rt/data/magic_prime.h"

#include <algorithm>
#include <string>
#include <vector>

#include "rt/data/loader.h"
#include "tests/data/data_test_util.h"

namespace rt::data {
namespace {

// Natural numbers of any size in base 2^16, least digit first: as slow and as plain as by hand, and nothing
// in it can overflow.
using Big = std::vector<std::uint32_t>;

Big big(std::uint64_t value) {
  Big out;
  for (; value > 0; value >>= 16) out.push_back(static_cast<std::uint32_t>(value & 0xffff));
  return out;
}

Big product(const Big& a, const Big& b) {
  Big out(a.size() + b.size(), 0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::uint32_t carry = 0;
    for (std::size_t j = 0; j < b.size() || carry > 0; ++j) {
      const std::uint64_t sum =
          std::uint64_t{out[i + j]} + carry + (j < b.size() ? std::uint64_t{a[i]} * b[j] : 0);
      out[i + j] = static_cast<std::uint32_t>(sum & 0xffff);
      carry = static_cast<std::uint32_t>(sum >> 16);
    }
  }
  while (!out.empty() && out.back() == 0) out.pop_back();
  return out;
}

bool at_most(const Big& a, const Big& b) {
  if (a.size() != b.size()) return a.size() < b.size();
  return !std::lexicographical_compare(b.rbegin(), b.rend(), a.rbegin(), a.rend());
}

// Digit by digit; mod < 2^40, so that what is left and one digit more fit in 64 bits.
std::uint64_t remainder(const Big& a, std::uint64_t mod) {
  std::uint64_t left = 0;
  for (std::size_t i = a.size(); i-- > 0;) left = ((left << 16) | a[i]) % mod;
  return left;
}

// floor(p (sqrt(5) - 1) / 2), with the root of 5 p^2 found by bisection in whole numbers.
std::uint64_t golden_part(std::uint64_t p) {
  const Big square = product(big(5), product(big(p), big(p)));
  std::uint64_t low = p, high = 3 * p;  // root 5 is 2.236...
  while (high - low > 1) {
    const std::uint64_t middle = (low + high) / 2;
    (at_most(product(big(middle), big(middle)), square) ? low : high) = middle;
  }
  return (low - p) / 2;
}

// floor(i^3 phi mod p), i counted from 1.
std::uint64_t slot(std::uint64_t sample, std::uint64_t p, std::uint64_t phi) {
  const Big i = big(sample + 1);
  return remainder(product(product(product(big(phi), i), i), i), p);
}

struct Published {
  const char* data;
  std::uint64_t tokens;
  std::int64_t seq_len;
  std::uint64_t prime;
};
constexpr Published kPublished[] = {{"MiniPile", 1498226207, 512, 2926181},
                                    {"MiniPile", 1498226207, 4096, 365759},
                                    {"Pile", 332115325534, 4096, 81082817}};

TEST(MagicPrime, ChoosesThePublishedPrimes) {
  for (const Published& p : kPublished) {
    EXPECT_EQ(magic_prime_for(p.tokens, p.seq_len), p.prime) << p.data;
    EXPECT_EQ(checked_magic_prime(0, p.tokens, p.seq_len, p.data), p.prime);
    EXPECT_EQ(checked_magic_prime(p.prime, p.tokens, p.seq_len, p.data), p.prime);
  }
}

TEST(MagicPrime, OffsetsAreThoseOfBigIntegers) {
  for (const Published& p : kPublished) {
    const MagicOrder order(p.prime);
    const std::uint64_t phi = golden_part(p.prime);
    // The first thousand; then around the border of an epoch, and as far as 64 bits go.
    for (std::uint64_t n = 0; n < 1000; ++n) {
      ASSERT_EQ(order(n) * static_cast<std::uint64_t>(p.seq_len),
                slot(n, p.prime, phi) * static_cast<std::uint64_t>(p.seq_len))
          << p.data << ", sample " << n;
    }
    for (std::uint64_t n = p.prime - 3; n < p.prime + 3; ++n) ASSERT_EQ(order(n), slot(n, p.prime, phi));
    for (std::uint64_t n = ~std::uint64_t{0} - 10; n < ~std::uint64_t{0} - 1; ++n)
      ASSERT_EQ(order(n), slot(n, p.prime, phi));
  }
}

TEST(MagicPrime, IsABijectionOfAnEpoch) {
  for (const std::uint64_t p : {2u, 5u, 11u, 17u, 1013u, 100049u}) {
    ASSERT_TRUE(is_magic_prime(p)) << p;
    const MagicOrder order(p);
    std::vector<char> seen(p, 0);
    for (std::uint64_t n = 0; n < p; ++n) {
      ASSERT_LT(order(n), p);
      ASSERT_EQ(seen[order(n)]++, 0);
      ASSERT_EQ(order(n), order(n + p));
    }
  }
}

TEST(MagicPrime, Primality) {
  std::vector<char> composite(20000, 0);
  for (std::uint64_t n = 2; n < composite.size(); ++n) {
    EXPECT_EQ(is_magic_prime(n), !composite[n] && n % 3 == 2) << n;
    if (composite[n]) continue;
    for (std::uint64_t m = n * n; m < composite.size(); m += n) composite[m] = 1;
  }
  EXPECT_FALSE(is_magic_prime(0));
  EXPECT_FALSE(is_magic_prime(1));
  EXPECT_TRUE(is_magic_prime(18446744073709551557u));   // the largest below 2^64
  EXPECT_FALSE(is_magic_prime(18446743627032953327u));  // 4294967291 x 4294967197
}

TEST(MagicPrime, ErrorsNameThePrimeToUse) {
  const auto what = [](std::uint64_t p) {
    return error_of([&] { checked_magic_prime(p, 1498226207, 4096, "x"); }, Exit::Config);
  };
  EXPECT_EQ(what(365760), "x: magic prime 365760 is not a prime of the form 3n + 2. Use 365759, or auto.");
  EXPECT_EQ(what(365747 + 10),
            "x: magic prime 365757 is not a prime of the form 3n + 2. Use 365759, or auto.");
  EXPECT_EQ(
      what(2926181),
      "x: magic prime 2926181 is not above 0.9 of the 365777 windows of 4096 tokens and at most 365777. Use "
      "365759, or auto.");
  EXPECT_EQ(what(101),
            "x: magic prime 101 is not above 0.9 of the 365777 windows of 4096 tokens and at most "
            "365777. Use 365759, or auto.");
  expect_contains(error_of([] { checked_magic_prime(0, 4 * 16, 16, "x"); }, Exit::Config),
                  "64 tokens have none for seq_len 16: use order: shuffle.");
}

TEST(MagicPrime, LoaderReadsTheWindowsInThisOrder) {
  std::vector<std::int32_t> ids(1003);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i);
  const MemoryTokens source(std::move(ids), {}, 1003);
  LoaderOptions options{
      .seq_len = 4, .global_sequences = 6, .micro_sequences = 3, .order = Order::MagicPrime};
  const Loader loader(source, options);
  ASSERT_EQ(loader.rows(), 239u);  // 250 slots; 239 is the next 3n + 2 below 249.75
  const std::uint64_t phi = golden_part(239);
  for (std::uint64_t step = 0; step < 90; ++step) {  // across two borders of an epoch
    for (int micro = 0; micro < 2; ++micro) {
      const Batch batch = loader.at(step, micro);
      for (std::size_t row = 0; row < 3; ++row) {
        const std::uint64_t first = 4 * slot(batch.first_sample + row, 239, phi);
        for (std::size_t t = 0; t < 4; ++t) {
          ASSERT_EQ(batch.tokens[4 * row + t], static_cast<std::int32_t>(first + t));
          ASSERT_EQ(batch.targets[4 * row + t], static_cast<std::int32_t>(first + t + 1));
        }
      }
    }
  }
  options.magic_prime = 227;
  EXPECT_EQ(Loader(source, options).rows(), 227u);
  EXPECT_NE(Loader(source, options).fingerprint(), loader.fingerprint());
  options.magic_prime = 179;
  error_of([&] { Loader bad(source, options); }, Exit::Config);
}

}  // namespace
}  // namespace rt::data
