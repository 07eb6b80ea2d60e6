#include <numeric>

#include "tests/io/pth_builder.h"
#include "tests/io/support.h"

namespace rt::io::test {
namespace {

TensorArchive open_bytes(const TempDir& dir, const std::string& content) {
  spill(dir / "t.pth", content);
  return open_archive(dir / "t.pth");
}

TensorArchive open_pickle(const TempDir& dir, const std::string& pickle) {
  std::vector<float> numbers(12);
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  return open_bytes(dir,
                    make_zip(pth_entries(pickle, {{"0", storage_of(numbers)}, {"1", std::string(16, 'x')}})));
}

Pickle dict_with(const std::string& key) { return Pickle().op("}").text(key); }

// Reference values read with Python's own pickle and zipfile.
void expect_golden(const std::string& model, std::size_t tensors, DType dtype,
                   const std::vector<double>& expected) {
  const auto a = open_archive(golden("models/" + model + "/rwkv7.pth"));
  EXPECT_EQ(a.tensors().size(), tensors);
  EXPECT_EQ(a.names().front(), "emb.weight");
  EXPECT_EQ(a.names().back(), "head.weight");
  std::size_t i = 0;
  for (const std::string name : {"emb.weight", "blocks.1.att.r_k", "blocks.0.att.w1", "head.weight"}) {
    const auto v = a.read_f64(name);
    EXPECT_EQ(v.front(), expected[i++]) << name;
    EXPECT_EQ(v.back(), expected[i++]) << name;
    EXPECT_EQ(std::accumulate(v.begin(), v.end(), 0.0), expected[i++]) << name;
    EXPECT_EQ(a.tensor(name).dtype, dtype);
    EXPECT_EQ(element(a.tensor(name), 0), v.front());
  }
  const auto gradients = open_archive(golden("models/" + model + "/golden.safetensors"));
  for (const auto& t : a.tensors()) EXPECT_EQ(gradients.info("grad." + t.name).shape, t.shape) << t.name;
}

TEST(Pth, GoldenFloat32) {
  expect_golden("rwkv7_fp32", 72, DType::F32,
                {-0.18342962861061096, 0.22751480340957642, -10.272567393559257, 0.14537003636360168,
                 -0.023602867498993874, -1.5066505763679743, -0.05578286573290825, 0.03998653218150139,
                 -3.8738481339096325, -0.117189921438694, 0.00870315358042717, 4.638142740353942});
}

TEST(Pth, GoldenBfloat16) {
  expect_golden(
      "rwkv7_bf16", 69, DType::BF16,
      {0.83203125, 0.322265625, -53.41499614715576, -0.044189453125, 0.1474609375, -6.440299987792969,
       0.00762939453125, 0.061767578125, 0.5878255367279053, -0.2265625, -0.08251953125, 2.298315465450287});
}

TEST(Pth, ContiguousTensorsPointIntoTheFile) {
  const auto a = open_pth(golden("models/rwkv7_fp32/rwkv7.pth"));
  const auto first = a.tensor("emb.weight"), again = a.tensor("emb.weight");
  EXPECT_EQ(first.data, again.data);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first.data) % 64,
            0u);  // PyTorch aligns storages in the file
}

TEST(Pth, ViewsOfOneStorageHonourOffsetAndStrides) {
  TempDir dir;
  Pickle p;
  p.op("}(");
  p.text("rows").tensor("FloatStorage", "0", 12, 4, {2, 4}, {4, 1});
  p.text("transposed").tensor("FloatStorage", "0", 12, 0, {4, 3}, {1, 4});
  p.text("column").tensor("FloatStorage", "0", 12, 1, {3, 1}, {4, 7});
  p.text("scalar").tensor("FloatStorage", "0", 12, 11, {}, {});
  p.text("empty").tensor("FloatStorage", "0", 12, 0, {0, 5}, {5, 1});
  p.text("repeated").tensor("FloatStorage", "0", 12, 2, {2, 3}, {0, 1});
  p.op("u");
  const auto a = open_pickle(dir, p.stop());
  EXPECT_EQ(a.names(),
            (std::vector<std::string>{"rows", "transposed", "column", "scalar", "empty", "repeated"}));
  EXPECT_EQ(a.read_f32("rows"), (std::vector<float>{4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(a.read_f32("transposed"), (std::vector<float>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  EXPECT_EQ(a.read_f32("column"), (std::vector<float>{1, 5, 9}));
  EXPECT_EQ(a.read_f32("scalar"), (std::vector<float>{11}));
  EXPECT_TRUE(a.read_f32("empty").empty());
  EXPECT_EQ(a.read_f32("repeated"), (std::vector<float>{2, 3, 4, 2, 3, 4}));
  const auto view = a.tensor("transposed");
  EXPECT_TRUE(view.is_contiguous());
  EXPECT_EQ(view.as<float>()[1], 4.0f);
}

TEST(Pth, EveryStorageType) {
  TempDir dir;
  const std::vector<std::pair<std::string, std::string>> types{
      {"FloatStorage", storage_of<float>({1, 2})},
      {"DoubleStorage", storage_of<double>({1, 2})},
      {"HalfStorage", std::string("\x00\x3c\x00\x40", 4)},
      {"BFloat16Storage", std::string("\x80\x3f\x00\x40", 4)},
      {"LongStorage", storage_of<std::int64_t>({1, 2})},
      {"IntStorage", storage_of<std::int32_t>({1, 2})},
      {"ShortStorage", storage_of<std::int16_t>({1, 2})},
      {"CharStorage", std::string("\1\2")},
      {"ByteStorage", std::string("\1\2")},
      {"BoolStorage", std::string("\1\1")}};
  Pickle p;
  std::vector<ZipEntry> storages;
  p.op("}(");
  for (const auto& [type, data] : types) {
    p.text(type).tensor(type, type, 2, 0, {2}, {1});
    storages.push_back({type, data});
  }
  p.op("u");
  const auto a = open_bytes(dir, make_zip(pth_entries(p.stop(), storages)));
  for (const auto& [type, data] : types) {
    EXPECT_EQ(a.read_f32(type), (std::vector<float>{1, type == "BoolStorage" ? 1.0f : 2.0f})) << type;
  }
}

TEST(Pth, OrderedDictWithMetadataParametersAndMemo) {
  TempDir dir;
  Pickle p;
  // The dict itself is memoised before it is filled.
  p.ordered_dict().op("q\x05(").text("w").op("r").op(raw<std::uint32_t>(70000));
  p.global("torch._utils", "_rebuild_parameter").op("(").tensor("FloatStorage", "0", 12, 3, {2}, {1});
  p.op("\x88").ordered_dict().op("tR");
  p.text("steps").integer(7).text("lr").op("G").op(std::string("\x3f\xb9\x99\x99\x99\x99\x99\x9a", 8));
  p.text("big")
      .op("\x8a\x05")
      .op(std::string("\x00\x00\x00\x00\x01", 5))
      .text("list")
      .op("](")
      .op("K\x01N")
      .op("e");
  p.op("u");                                                // SETITEMS
  p.text("_metadata").op("}").op("s");                      // SETITEM, as state_dict() saves end
  p.op("}").text("_metadata").op("h\x05").op("s").op("b");  // BUILD with a dict that refers to itself
  const auto a = open_pickle(dir, p.stop());
  EXPECT_EQ(a.names(), std::vector<std::string>{"w"});
  EXPECT_EQ(a.read_f32("w"), (std::vector<float>{3, 4}));
}

TEST(Pth, WrappersAndPrefixesAreStripped) {
  TempDir dir;
  const auto wrapped = [&](const std::string& outer, const std::vector<std::string>& names) {
    Pickle p;
    p.op("}(").text("epoch").integer(3).text(outer).op("}(");
    for (const auto& n : names) p.text(n).tensor("FloatStorage", "0", 12, 0, {1}, {1});
    return open_pickle(dir, p.op("uu").stop()).names();
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(wrapped("state_dict", {"emb.weight", "head.weight"}), (Names{"emb.weight", "head.weight"}));
  EXPECT_EQ(wrapped("module", {"_forward_module.module.a", "_forward_module.module.b"}), (Names{"a", "b"}));
  EXPECT_EQ(wrapped("model", {"module.a", "b"}), (Names{"module.a", "b"}));  // only when all have it
  expect_error(Exit::Checkpoint, [&] { wrapped("optimizer", {"a"}); }, {"t.pth", "no tensors"});
}

TEST(Pth, Zip64AndRepeatedNames) {
  TempDir dir;
  const auto pickle = dict_with("w").tensor("FloatStorage", "0", 2, 0, {2}, {1}).op("s").stop();
  auto entries = pth_entries(pickle, {{"0", storage_of<float>({1, 2})}});
  EXPECT_EQ(open_bytes(dir, make_zip(entries, true)).read_f32("w"), (std::vector<float>{1, 2}));
  entries.push_back({"m/data/0", storage_of<float>({3, 4})});
  EXPECT_EQ(open_bytes(dir, make_zip(entries)).read_f32("w"), (std::vector<float>{3, 4}));
  entries.push_back({"m/data/0", storage_of<float>({3})});
  expect_error(Exit::Checkpoint, [&] { open_bytes(dir, make_zip(entries)); }, {"different sizes"});
}

TEST(Pth, RefusesOtherOpcodesAndGlobalsByNameAndOffset) {
  TempDir dir;
  const auto refused = [&](const std::string& pickle, const std::vector<std::string>& parts) {
    expect_error(
        Exit::Checkpoint, [&] { open_pickle(dir, pickle); }, parts);
  };
  refused(Pickle().global("os", "system").text("true").op("\x85R").stop(),
          {"t.pth", "offset 2", "\"os.system\"", "not allowed", "torch.save"});
  refused(Pickle().global("torch", "load").stop(), {"\"torch.load\""});
  refused(Pickle().op("}").op("\x93").stop(), {"STACK_GLOBAL (0x93)", "offset 3"});
  refused(Pickle().op("}").op("\x81").stop(), {"NEWOBJ (0x81)", "offset 3"});
  refused(Pickle().op("\xee").stop(), {"unknown opcode (0xee)", "offset 2"});
  refused(Pickle().op("\x80\x09").stop(), {"protocol"});
  refused(Pickle().op("R").stop(), {"0x52", "not there"});
  refused(Pickle().op("}N\x85R").stop(), {"not a function"});
  refused(Pickle().op("(N").op("R").stop(), {"not there"});
  refused(Pickle().op("]").text("k").op("Ns").stop(), {"not a dict"});
  refused(Pickle().op("}(").text("k").op("u").stop(), {"without a value"});
  refused(Pickle().op("}Na").stop(), {"not a list"});
  refused(Pickle().op("]Nb").stop(), {"not a dict"});
  refused(Pickle().op("h\x07").stop(), {"empty memo slot"});
  refused(Pickle().op("}r\xff\xff\xff\x7f").stop(), {"memo slots"});
  refused(Pickle().op("X\xff\xff\xff\xff").stop(), {"ends in the middle"});
  refused(Pickle().op("\x8a\x09" + std::string(9, '\1')).stop(), {"64 bits"});
  refused(Pickle().op("}}").stop(), {"leftovers"});
  refused(Pickle().op("}").stop() + "x", {"leftovers"});
  refused(Pickle().op(")Q").stop(), {"not a storage"});
  refused(Pickle().op("N").stop(), {"not a dict of tensors"});
  refused(Pickle().op("}").stop(), {"no tensors"});
  refused("", {"ends in the middle"});
  refused(Pickle().op("}q\x01").text("state_dict").op("h\x01s").stop(), {"too deeply"});
  refused(Pickle().op(std::string(1'100'000, 'N')).stop(), {"million values"});
  refused(Pickle().op(std::string(1'100'000, '(')).stop(), {"million marks"});
}

TEST(Pth, TensorsStayInsideTheirStorage) {
  TempDir dir;
  const auto refused = [&](const Pickle& tensor, const std::vector<std::string>& parts) {
    expect_error(
        Exit::Checkpoint, [&] { open_pickle(dir, tensor.stop()); }, parts);
  };
  const auto w = [] { return dict_with("w"); };
  const std::int64_t big = std::int64_t{1} << 62;
  refused(w().tensor("FloatStorage", "0", 12, 0, {13}, {1}).op("s"), {"\"w\"", "outside"});
  refused(w().tensor("FloatStorage", "0", 12, 12, {1}, {1}).op("s"), {"outside"});
  refused(w().tensor("FloatStorage", "0", 12, 0, {4, 4}, {3, 1}).op("s"), {"outside"});
  refused(w().tensor("FloatStorage", "0", 12, 0, {3, 3}, {big, big}).op("s"), {"outside"});
  refused(w().tensor("FloatStorage", "0", 12, big * 1, {2}, {1}).op("s"), {"outside"});
  refused(w().tensor("FloatStorage", "0", 12, 0, {1000}, {0}).op("s"), {"outside"});
  refused(w().tensor("FloatStorage", "0", 12, 0, {big, 4}, {0, 0}).op("s"), {"overflows"});
  refused(w().tensor("FloatStorage", "0", 12, -1, {2}, {1}).op("s"), {"malformed"});
  refused(w().tensor("FloatStorage", "0", 12, 0, {2}, {-1}).op("s"), {"malformed"});
  refused(w().tensor("FloatStorage", "0", 12, 0, {2, 2}, {1}).op("s"), {"malformed"});
  refused(w().tensor("FloatStorage", "0", 13, 0, {2}, {1}).op("s"), {"storage \"0\" has 48 bytes"});
  refused(w().tensor("FloatStorage", "0", big, 0, {2}, {1}).op("s"), {"storage \"0\" has 48 bytes"});
  refused(w().tensor("FloatStorage", "9", 12, 0, {2}, {1}).op("s"), {"storage \"9\" is missing"});
  refused(w().tensor("FloatStorage", "../data.pkl", 12, 0, {2}, {1}).op("s"), {"is missing"});
}

TEST(Pth, RefusesOtherContainers) {
  TempDir dir;
  const auto refused = [&](const std::string& content, const std::vector<std::string>& parts) {
    expect_error(
        Exit::Checkpoint, [&] { open_bytes(dir, content); }, parts);
  };
  const std::string legacy(
      "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8"
      "\x50\x19.\x80\x02M\xe9\x03.",
      21);
  refused(legacy, {"t.pth", "old format", "torch.save(torch.load"});
  refused(make_zip({{"word/document.xml", "x"}}), {"not from torch.save"});
  refused(make_zip({{"a/data.pkl", "x"}, {"b/data.pkl", "x"}}), {"2 data.pkl"});
  refused(make_zip({{"a/data.pkl", "x", 8}}), {"a/data.pkl", "compressed"});
  refused(make_zip({{"a/data.pkl", "x"}, {"a/byteorder", "big"}}), {"byte order \"big\""});
  refused("PK\x03\x04", {"zip"});
}

}  // namespace
}  // namespace rt::io::test
