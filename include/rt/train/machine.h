#pragma once
#include <cstddef>
#include <string>

namespace rt {

std::size_t rss_bytes();       // of this process, now
std::size_t peak_rss_bytes();  // of this process, so far
std::size_t
available_memory_bytes();  // what a new allocation may use: the system's, or the cgroup's limit if lower
std::string human_bytes(double bytes);  // "3.1 GiB"
std::string human_count(double n);      // "191.1M"
std::string human_seconds(double s);    // "1h02m", "3m20s", "12s"

}  // namespace rt
