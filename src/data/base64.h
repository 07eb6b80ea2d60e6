#pragma once
#include <string>
#include <string_view>

namespace rt::data {

// RFC 4648, with padding.
std::string base64_encode(std::string_view bytes);
// False when `text` is not base64; `out` is then unspecified.
bool base64_decode(std::string_view text, std::string& out);

}  // namespace rt::data
