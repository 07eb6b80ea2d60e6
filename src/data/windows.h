#pragma once
#include <cstddef>
#include <string_view>

namespace rt::data {

inline constexpr std::size_t kWindow = std::size_t{64} << 10;

// Works on `text` in windows that stay in the cache. Calls visit(part, offset) for parts that follow one
// another and end where cut(window) says: its last place where the text may be cut, or 0, whereupon a larger
// window is tried. The end of the text is a place too when it is the `last` of it. Returns how much was
// visited.
template <class Cut, class Visit>
std::size_t for_each_window(std::string_view text, bool last, const Cut& cut, const Visit& visit) {
  std::size_t done = 0;
  for (std::size_t window = kWindow; done < text.size();) {
    std::string_view part = text.substr(done, window);
    const bool reaches_end = done + part.size() == text.size();
    if (!last || !reaches_end) part = part.substr(0, cut(part));
    if (part.empty()) {
      if (reaches_end) break;
      window *= 2;
      continue;
    }
    visit(part, done);
    done += part.size();
    window = kWindow;
  }
  return done;
}

}  // namespace rt::data
