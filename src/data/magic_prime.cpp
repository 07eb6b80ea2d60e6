#include "rt/data/magic_prime.h"

#include <bit>
#include <cmath>

#include "rt/core/error.h"

namespace rt::data {
namespace {

__extension__ using Wide = unsigned __int128;

std::uint64_t times(std::uint64_t a, std::uint64_t b, std::uint64_t mod) {
  return static_cast<std::uint64_t>(Wide{a} * b % mod);
}

// Miller and Rabin's test with the first twelve primes, which decides every number below 2^64.
bool is_prime(std::uint64_t n) {
  constexpr std::uint64_t kBases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
  for (const std::uint64_t base : kBases) {
    if (n % base == 0) return n == base;
  }
  if (n < 2) return false;
  const int twos = std::countr_zero(n - 1);
  for (const std::uint64_t base : kBases) {
    std::uint64_t x = 1, square = base;
    for (std::uint64_t e = (n - 1) >> twos; e > 0; e >>= 1, square = times(square, square, n)) {
      if (e & 1) x = times(x, square, n);
    }
    bool witness = x != 1 && x != n - 1;
    for (int i = 1; i < twos && witness; ++i) {
      x = times(x, x, n);
      witness = x != n - 1;
    }
    if (witness) return false;
  }
  return true;
}

}  // namespace

bool is_magic_prime(std::uint64_t p) { return p % 3 == 2 && is_prime(p); }

std::uint64_t magic_prime_for(std::uint64_t tokens, std::int64_t seq_len) {
  const auto T = static_cast<std::uint64_t>(seq_len);
  const std::uint64_t slots = tokens / T;
  if (slots < 3) return 0;
  // Below tokens / T - 1 as a fraction: slots - 1 itself only when tokens is no multiple of T.
  std::uint64_t p = tokens % T == 0 ? slots - 2 : slots - 1;
  while (p >= 2 && !is_magic_prime(p)) --p;
  return p >= 2 ? p : 0;
}

std::uint64_t checked_magic_prime(std::uint64_t given, std::uint64_t tokens, std::int64_t seq_len,
                                  std::string_view where) {
  const auto T = static_cast<std::uint64_t>(seq_len);
  const std::uint64_t slots = tokens / T, windows = tokens == 0 ? 0 : (tokens - 1) / T;
  const std::uint64_t usual = magic_prime_for(tokens, seq_len), p = given == 0 ? usual : given;
  const auto fits = [&](std::uint64_t prime) { return prime <= windows && 10 * prime > 9 * slots; };
  if (is_magic_prime(p) && fits(p)) return p;
  const bool has_usual = usual != 0 && fits(usual);
  const std::string fix =
      has_usual ? format("Use {}, or auto", usual)
                : format("{} tokens have none for seq_len {}: use order: shuffle", tokens, seq_len);
  if (given == 0 || is_magic_prime(p)) {
    fail(Exit::Config,
         "{}: magic prime {} is not above 0.9 of the {} windows of {} tokens and at most {}. {}.", where, p,
         slots, seq_len, windows, fix);
  }
  fail(Exit::Config, "{}: magic prime {} is not a prime of the form 3n + 2. {}.", where, p, fix);
}

MagicOrder::MagicOrder(std::uint64_t prime) : prime_(prime) {
  // In double precision, as the reference computes it: the order must be its order.
  phi_ = static_cast<std::uint64_t>(static_cast<double>(prime) * ((std::sqrt(5.0) - 1) / 2));
}

std::uint64_t MagicOrder::operator()(std::uint64_t sample) const {
  const std::uint64_t n = (sample % prime_ + 1) % prime_;
  return times(phi_, times(n, times(n, n, prime_), prime_), prime_);
}

}  // namespace rt::data
