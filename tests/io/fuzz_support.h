#pragma once
#include "io/archive_impl.h"
#include "io/convert.h"
#include "tests/io/support.h"

namespace rt::io::test {

using Parse = ParsedArchive (*)(std::span<const std::byte>, const fs::path&);

// Parses; when that succeeds, copies every element of every tensor out, which a
// sanitizer would catch outside of `bytes`. True if it loaded. Anything but
// success or a one-line rt::Error fails the test.
inline bool loads_or_refuses(Parse parse, std::span<const std::byte> bytes) {
  try {
    const auto archive = parse(bytes, "fuzz");
    for (const auto& t : archive.tensors) {
      const auto size = static_cast<std::size_t>(t.info.shape.numel()) * size_of(t.info.dtype);
      EXPECT_LE(size, bytes.size());
      std::vector<std::byte> out(size);
      EXPECT_EQ(convert(t.data, t.info.dtype, t.info.shape, t.strides, out.data(), t.info.dtype),
                Converted::Yes);
    }
    return true;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::Checkpoint) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    return false;
  }
}

// Every truncation, in an allocation of just that size.
inline void expect_no_truncation_loads(Parse parse, const std::string& content, std::size_t step) {
  for (std::size_t size = 0; size < content.size(); size += step) {
    const auto bytes = exact_bytes(content.substr(0, size));
    EXPECT_FALSE(loads_or_refuses(parse, bytes)) << size;
  }
}

}  // namespace rt::io::test
