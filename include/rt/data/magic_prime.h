#pragma once
#include <cstdint>
#include <string_view>

namespace rt::data {

// The order in which RWKV-LM reads a token file (reference rwkv.md 3.2; its src/dataset.py): the file is cut
// into `slots` = floor(tokens / T) windows at multiples of T, and sample n, counted from 0, is window
//   (phi (n + 1)^3) mod p,   phi = floor(p (sqrt(5) - 1) / 2),
// for a prime p = 2 (mod 3), where cubing is a bijection: p samples are every window below p once, and the
// next p are the same again.
class MagicOrder {
 public:
  explicit MagicOrder(std::uint64_t prime);
  std::uint64_t size() const { return prime_; }
  std::uint64_t operator()(std::uint64_t sample) const;  // any sample

 private:
  std::uint64_t prime_, phi_;
};

bool is_magic_prime(std::uint64_t p);  // prime and 2 (mod 3)
// The largest below tokens / T - 1, which is how RWKV-LM's data preparation chooses; 0 where there is none.
std::uint64_t magic_prime_for(std::uint64_t tokens, std::int64_t seq_len);
// `given`, or magic_prime_for when it is 0, held against RWKV-LM's conditions: prime, 2 (mod 3), more than
// 0.9 of the slots and no more than the windows that have a last target. Exit::Config, `where` (the data's
// name) in front, naming the prime to use.
std::uint64_t checked_magic_prime(std::uint64_t given, std::uint64_t tokens, std::int64_t seq_len,
                                  std::string_view where);

}  // namespace rt::data
