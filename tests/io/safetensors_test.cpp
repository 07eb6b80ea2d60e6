#include "rt/io/safetensors.h"

#include <cmath>
#include <limits>
#include <set>

#include "tests/io/support.h"

namespace rt::io::test {
namespace {

struct Sample {
  std::vector<double> f64{1.5, -0.0, std::numeric_limits<double>::denorm_min(), 1e300};
  std::vector<float> f32{1, 2, 3, 4, 5, 6};
  std::vector<bf16> half{bf16(0.5f), bf16(-3.0f), bf16(1e20f)};
  std::vector<std::int32_t> i32{-7, 2147483647};
  std::vector<std::uint8_t> u8{0, 255, 3};
  std::vector<NamedTensor> tensors() {
    return {named("z.u8", u8, {3}),
            named("b.f32", f32, {2, 3}),
            named("a.bf16", half, {3, 1}),
            named("c.i32", i32, {2}),
            named("d.f64", f64, {2, 2}),
            {"empty", TensorView(u8.data(), {0, 5}, DType::U8)},
            {"scalar", TensorView(f32.data() + 4, Shape{}, DType::F32)}};
  }
};

template <class T>
std::vector<T> values(const TensorView& v) {
  return {v.as<T>(), v.as<T>() + v.numel()};
}

TEST(Safetensors, RoundTripOfEveryType) {
  TempDir dir;
  Sample s;
  const auto tensors = s.tensors();
  const auto digest =
      write_safetensors(dir / "a.safetensors", tensors, {{"k", "v"}, {"quote", "\"\n\\ \u00e9"}});
  EXPECT_EQ(digest, digest_file(dir / "a.safetensors"));
  const auto archive = open_archive(dir / "a.safetensors");
  EXPECT_EQ(archive.names(),
            (std::vector<std::string>{"d.f64", "b.f32", "c.i32", "scalar", "a.bf16", "empty", "z.u8"}));
  EXPECT_EQ(archive.metadata(), (Metadata{{"k", "v"}, {"quote", "\"\n\\ \u00e9"}}));
  for (const auto& t : tensors) {
    const auto view = archive.tensor(t.name);
    EXPECT_TRUE(view) << t.name;
    EXPECT_EQ(view.shape, t.view.shape);
    EXPECT_EQ(view.dtype, t.view.dtype);
    if (view.nbytes() > 0) { EXPECT_EQ(std::memcmp(view.data, t.view.data, view.nbytes()), 0) << t.name; }
  }
}

TEST(Safetensors, SameContentGivesTheSameBytesWhateverTheOrder) {
  TempDir dir;
  Sample s;
  auto tensors = s.tensors();
  write_safetensors(dir / "a", tensors, {{"x", "1"}, {"y", "2"}});
  std::reverse(tensors.begin(), tensors.end());
  write_safetensors(dir / "b", tensors, {{"y", "2"}, {"x", "1"}});
  EXPECT_EQ(slurp(dir / "a"), slurp(dir / "b"));
  std::uint64_t header;
  std::memcpy(&header, slurp(dir / "a").data(), 8);
  EXPECT_EQ((header + 8) % 64, 0u);
}

TEST(Safetensors, StridedViewsAreWrittenRowMajor) {
  TempDir dir;
  std::vector<float> data{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const TensorView all(data.data(), {3, 4}, DType::F32);
  const std::vector<NamedTensor> tensors{{"middle", all.slice(1, 1, 3)}};
  write_safetensors(dir / "a", tensors);
  EXPECT_EQ(open_safetensors(dir / "a").read_f32("middle"), (std::vector<float>{1, 2, 5, 6, 9, 10}));
}

TEST(Safetensors, WriterRefusesWhatReadersWouldRefuse) {
  TempDir dir;
  std::vector<float> x{1};
  const auto write = [&](std::vector<NamedTensor> t) { write_safetensors(dir / "a", t); };
  expect_error(Exit::Failure, [&] { write({named("n", x, {1}), named("n", x, {1})}); }, {"\"n\"", "twice"});
  expect_error(Exit::Failure, [&] { write({named("__metadata__", x, {1})}); }, {"cannot name"});
  expect_error(Exit::Failure, [&] { write({{"n", TensorView()}}); }, {"no data"});
  expect_error(Exit::Checkpoint, [&] { write({named("\xff", x, {1})}); }, {"not UTF-8"});
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

// A file by hand: header text and data.
std::string file_of(std::string header, const std::string& data) {
  std::string out(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

TensorArchive open_text(const TempDir& dir, const std::string& content) {
  spill(dir / "t.safetensors", content);
  return open_archive(dir / "t.safetensors");
}

TEST(Safetensors, UnalignedDataIsCopied) {
  TempDir dir;
  std::vector<float> x{1.25f, -2.5f};
  std::string data(8, '\0');
  std::memcpy(data.data(), x.data(), 8);
  const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  std::set<std::uintptr_t> misalignments;
  for (std::size_t pad = 0; pad < 4; ++pad) {
    const auto archive = open_text(dir, file_of(header + std::string(pad, ' '), data));
    const auto view = archive.tensor("a");
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.data) % 4, 0u);
    EXPECT_EQ(values<float>(view), x);
    EXPECT_EQ(archive.tensor("a").data, view.data);
    EXPECT_EQ(archive.read_f64("a"), (std::vector<double>{1.25, -2.5}));
  }
}

TEST(Safetensors, ConversionsWidenAndRefuse) {
  TempDir dir;
  // F16: 1, -2, 65504, smallest subnormal 2^-24, inf, -0. F8_E4M3: 448
  // (largest), 2^-9 (smallest), NaN. F8_E5M2: 57344, 2^-16, -inf. I64: -1,
  // 2^40. U64: 2^64-1. BOOL: 1. I8: -128. U16: 65535.
  const std::string data(
      "\x00\x3c\x00\xc0\xff\x7b\x01\x00\x00\x7c\x00\x80"
      "\x7e\x01\x7f"
      "\x7b\x01\xfc"
      "\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x01\x00\x00"
      "\xff\xff\xff\xff\xff\xff\xff\xff"
      "\x01"
      "\x80"
      "\xff\xff",
      46);
  const auto a = open_text(dir, file_of(R"({"f16":{"dtype":"F16","shape":[6],"data_offsets":[0,12]},
    "e4m3":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[12,15]},"e5m2":{"dtype":"F8_E5M2","shape":[3],"data_offsets":[15,18]},
    "i64":{"dtype":"I64","shape":[2],"data_offsets":[18,34]},"u64":{"dtype":"U64","shape":[1],"data_offsets":[34,42]},
    "bool":{"dtype":"BOOL","shape":[1],"data_offsets":[42,43]},"i8":{"dtype":"I8","shape":[1],"data_offsets":[43,44]},
    "u16":{"dtype":"U16","shape":[1],"data_offsets":[44,46]}})",
                                        data));
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(a.read_f32("f16"), (std::vector<float>{1, -2, 65504, std::ldexp(1.0f, -24), inf, 0}));
  EXPECT_TRUE(std::signbit(a.read_f32("f16")[5]));
  EXPECT_EQ(a.read_f32("e4m3")[0], 448);
  EXPECT_EQ(a.read_f32("e4m3")[1], std::ldexp(1.0f, -9));
  EXPECT_TRUE(std::isnan(a.read_f32("e4m3")[2]));
  EXPECT_EQ(a.read_f32("e5m2"), (std::vector<float>{57344, std::ldexp(1.0f, -16), -inf}));
  EXPECT_EQ(a.read_i64("i64"), (std::vector<std::int64_t>{-1, std::int64_t{1} << 40}));
  EXPECT_EQ(a.read_f64("i64")[1], 1099511627776.0);
  EXPECT_EQ(a.read_i64("i8"), (std::vector<std::int64_t>{-128}));
  EXPECT_EQ(a.read_i64("u16"), (std::vector<std::int64_t>{65535}));
  EXPECT_EQ(values<std::uint8_t>(a.tensor("bool")), (std::vector<std::uint8_t>{1}));
  expect_error(Exit::Checkpoint, [&] { a.read_i64("u64"); }, {"\"u64\"", "does not fit"});
  expect_error(Exit::Checkpoint, [&] { a.read_i64("f16"); }, {"\"f16\"", "floating-point"});
  expect_error(Exit::Checkpoint, [&] { a.tensor("i64"); }, {"\"i64\"", "I64", "read_i64"});
  expect_error(Exit::Checkpoint, [&] { a.tensor("nope"); }, {"t.safetensors", "no tensor \"nope\""});
}

TEST(Safetensors, ReadIntoConvertsAndChecksTheShape) {
  TempDir dir;
  Sample s;
  write_safetensors(dir / "a", s.tensors());
  const auto a = open_safetensors(dir / "a");
  std::vector<float> out(3);
  a.read_into("a.bf16", TensorView(out.data(), {3, 1}, DType::F32));
  EXPECT_EQ(out, (std::vector<float>{0.5f, -3.0f, static_cast<float>(bf16(1e20f))}));
  std::vector<bf16> rounded(6);
  a.read_into("b.f32", TensorView(rounded.data(), {2, 3}, DType::BF16));
  EXPECT_EQ(static_cast<float>(rounded[5]), 6.0f);
  expect_error(Exit::Checkpoint, [&] { a.read_into("a.bf16", TensorView(out.data(), {3}, DType::F32)); },
               {"a.bf16", "(3, 1)", "(3)"});
}

TEST(Safetensors, GoldenFile) {
  const auto a = open_archive(golden("models/rwkv7_fp32/golden.safetensors"));
  EXPECT_EQ(a.metadata().at("checkpoint"), "rwkv7.pth");
  EXPECT_EQ(a.names().front(), "tokens");
  EXPECT_EQ(a.info("logits").shape, (Shape{2, 40, 80}));
  EXPECT_EQ(a.tensor("tokens").dtype, DType::I32);
  EXPECT_NEAR(a.read_f32("loss")[0], 5.0876f, 1e-4f);
}

struct Bad {
  std::string content;
  std::vector<std::string> parts;
};

TEST(Safetensors, HostileFilesAreRefusedWithAReason) {
  const auto one = [](const std::string& entry, std::size_t data) {
    return file_of(std::string("{").append(entry).append("}"), std::string(data, 'x'));
  };
  const std::string a = R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  const std::string huge = "\xff\xff\xff\xff\xff\xff\xff\x7f{}";
  const std::vector<Bad> cases{
      {"", {"too few"}},
      {"1234567", {"too few"}},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", {"git-lfs pointer", "git lfs pull"}},
      {std::string("GGUF\x03\0\0\0\0\0\0\0", 12), {"GGUF"}},
      {huge, {"truncated"}},
      {file_of("[]", ""), {"brace"}},
      {file_of("", ""), {"brace"}},
      {file_of(" {}", ""), {"brace"}},
      {file_of(std::string("{}\0", 3), ""), {"other than spaces"}},
      {file_of("{}\n", ""), {"other than spaces"}},
      {file_of("{\"a\"}", ""), {"not valid JSON at byte"}},
      {file_of("{\"\xff\":1}", ""), {"not valid JSON"}},
      {one(a, 3), {"hole or overlap"}},
      {one(a, 5), {"trailing bytes"}},
      {one(R"("a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]})", 4), {"hole"}},
      {one(a + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]})", 5), {"\"b\"", "overlap"}},
      {one(a + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]})", 7), {"\"b\"", "hole"}},
      {one(a + "," + a, 4), {"\"a\"", "twice"}},
      {one(R"("__metadata__":{"k":"1","k":"2"},)" + a, 4), {"\"k\"", "twice"}},
      {one(R"("__metadata__":{"k":1},)" + a, 4), {"number"}},
      {one(R"("__metadata__":{"k":{"x":"y"}},)" + a, 4), {"too deeply"}},
      {one(R"("__metadata__":[],)" + a, 4), {"array"}},
      {one(R"("a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]})", 4), {"\"dtype\"", "twice"}},
      {one(R"("a":{"dtype":"U8","shape":[4]})", 4), {"needs dtype"}},
      {one(R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1})", 4), {"unknown field"}},
      {one(R"("a":{"dtype":"U8","shape":[[4]],"data_offsets":[0,4]})", 4), {"array"}},
      {one(R"("a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]})", 4), {"not an integer"}},
      {one(R"("a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]})", 4), {"negative"}},
      {one(R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,4]})", 4), {"two numbers"}},
      {one(R"("a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]})", 4), {"\"a\""}},
      {one(R"("a":{"dtype":"U9","shape":[4],"data_offsets":[0,4]})", 4), {"unsupported type \"U9\""}},
      {one(R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4), {"(2) of F32 are 8"}},
      {one(R"("a":{"dtype":"U8","shape":[1,1,1,1,1,1,4],"data_offsets":[0,4]})", 4), {"6 dimensions"}},
      {one(R"("a":{"dtype":"U8","shape":[4294967296,4294967296,4294967297],"data_offsets":[0,4]})", 4),
       {"overflows"}},
      {one(R"("a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]})", 0), {"overflows"}},
      {one(R"("a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,4]})", 4), {"too large"}},
      {one(std::string("\"").append(600, 'n').append(R"(":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})"),
           4),
       {"512"}},
      {file_of(std::string(100000, '{'), ""), {"t.safetensors"}},
      {file_of("{\"a\":" + std::string(100000, '['), ""), {"t.safetensors"}},
  };
  TempDir dir;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.content.substr(0, 120));
    auto parts = c.parts;
    parts.push_back("t.safetensors");
    expect_error(
        Exit::Checkpoint, [&] { open_text(dir, c.content); }, parts);
  }
  expect_error(Exit::Checkpoint, [&] { open_archive(dir.path()); }, {"not a file"});
  expect_error(Exit::Checkpoint, [&] { open_archive(dir / "missing"); }, {"missing", "cannot open"});
  EXPECT_EQ(open_text(dir, one(a, 4)).names(), std::vector<std::string>{"a"});
  EXPECT_TRUE(open_text(dir, file_of("{}  ", "")).names().empty());
}

}  // namespace
}  // namespace rt::io::test
