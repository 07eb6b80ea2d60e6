#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "data/splitter.h"

namespace rt::data {

// By PCRE2: each match is a pre-token and so is what lies between two matches. See make_splitter.
std::unique_ptr<Splitter> make_regex_splitter(const std::string& pattern, std::string_view where);

}  // namespace rt::data
