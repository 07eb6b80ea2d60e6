#pragma once
#include <string>
#include <string_view>

namespace rt::data {

// The bytes that a Python literal means: '...' and "..." as UTF-8, b'...' and b"..." as they are. All of
// `text` must be the literal, on one line, with the escapes \\ \' \" \a \b \f \n \r \t \v \xHH and in str
// \uXXXX \UXXXXXXXX. On false `out` is what is wrong.
bool read_python_literal(std::string_view text, std::string& out);

}  // namespace rt::data
