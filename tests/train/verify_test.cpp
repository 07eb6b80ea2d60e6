// The comparison itself: golden files that are wrong, and files that are no golden files.
#include "rt/train/verify.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>

#include "rt/core/error.h"
#include "rt/core/parallel.h"
#include "rt/io/safetensors.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using Verdict = VerifyLine::Verdict;

constexpr VerifyOptions kRef{Impl::Ref, DType::F64}, kCpu{Impl::Cpu, DType::F32};

fs::path golden(const std::string& path) { return fs::path(RT_SOURCE_DIR) / "tests/golden" / path; }

// A folder that goes away.
class Scratch {
 public:
  Scratch() : dir_(fs::temp_directory_path() / format("rt_verify_{}_{}", getpid(), count_++)) {
    fs::create_directories(dir_);
  }
  ~Scratch() { fs::remove_all(dir_); }
  fs::path operator/(const std::string& name) const { return dir_ / name; }
  const fs::path& dir() const { return dir_; }

 private:
  static inline int count_ = 0;
  fs::path dir_;
};

struct Content {
  std::map<std::string, Tensor> tensors;
  io::Metadata metadata;

  explicit Content(const fs::path& file) {
    const io::TensorArchive archive = io::open_safetensors(file);
    metadata = archive.metadata();
    for (const std::string& name : archive.names()) {
      const TensorView view = archive.tensor(name);
      Tensor& own = tensors.emplace(name, Tensor(view.shape, view.dtype)).first->second;
      copy(own.view, view);
    }
  }
  void write(const fs::path& file) const {
    std::vector<io::NamedTensor> named;
    for (const auto& [name, tensor] : tensors) named.push_back({name, tensor.view});
    io::write_safetensors(file, named, metadata);
  }
};

std::int64_t largest(const TensorView& view, std::int64_t among) {
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < among; ++i) {
    if (std::abs(element(view, i)) > std::abs(element(view, at))) at = i;
  }
  return at;
}

// The largest value off by 1% (and that of the first half, which is row 0 of two), one token off by one.
void perturb(const TensorView& view) {
  if (view.dtype == DType::I32) {
    view.as<std::int32_t>()[0] ^= 1;
    return;
  }
  for (const std::int64_t among : {view.numel() / 2, view.numel()}) {
    const std::int64_t at = largest(view, among);
    const double value = element(view, at);
    set_element(view, at, value == 0 ? 0.01 : value * 1.01);
  }
}

bool is_result(const std::string& name) {
  static const std::vector<std::string> inputs = {
      "r", "w", "k", "v", "a", "b", "state0", "dy", "dstate1", "tokens", "targets", "greedy_prompt", "lr"};
  return std::find(inputs.begin(), inputs.end(), name) == inputs.end();
}

std::vector<std::string> failing(const VerifyResult& result) {
  std::vector<std::string> names;
  for (const VerifyLine& line : result.lines) {
    if (line.verdict == Verdict::Fail) names.push_back(line.name);
  }
  return names;
}

std::pair<Exit, std::string> error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) { return {e.code(), e.what()}; }
  return {Exit::Ok, ""};
}

// The models are too small for several threads to pay.
class Verify : public ::testing::Test {
 protected:
  Verify() { set_num_threads(1); }
  ~Verify() override { set_num_threads(threads_); }
  int threads_ = num_threads();
};

TEST_F(Verify, OneWrongValueFailsOneTensor) {
  const Scratch scratch;
  Content content(golden("ops/wkv7_t17.safetensors"));
  perturb(content.tensors.at("grad.k").view);
  content.write(scratch / "wrong.safetensors");
  for (const VerifyOptions& options : {kRef, kCpu}) {
    const VerifyResult result = verify(scratch / "wrong.safetensors", options);
    EXPECT_EQ(failing(result), std::vector<std::string>{"grad.k"}) << describe(result);
    EXPECT_NE(describe(result).find("FAIL: 1 of "), std::string::npos) << describe(result);
  }
}

// Nothing in a golden file goes unjudged: with every expected tensor wrong, every line fails.
void expect_all_fail(Content content, const fs::path& file, const fs::path& path,
                     const VerifyOptions& options) {
  for (auto& [name, tensor] : content.tensors) {
    if (is_result(name)) perturb(tensor.view);
  }
  content.write(file);
  const VerifyResult result = verify(path, options);
  std::map<std::string, bool> seen;
  for (const VerifyLine& line : result.lines) {
    const std::string name = line.name.substr(0, line.name.find(" ("));
    seen[name] = true;
    if (!content.tensors.contains(name)) continue;
    if (line.verdict != Verdict::Info) { EXPECT_EQ(line.verdict, Verdict::Fail) << describe(result); }
  }
  for (const auto& [name, tensor] : content.tensors) {
    if (is_result(name)) { EXPECT_TRUE(seen[name]) << name; }
  }
}

TEST_F(Verify, EveryWrongTensorOfAnOpFails) {
  const Scratch scratch;
  const fs::path file = scratch / "op.safetensors";
  expect_all_fail(Content(golden("ops/wkv7_t17.safetensors")), file, file, kCpu);
}

TEST_F(Verify, EveryWrongTensorOfAModelFails) {
  const Scratch scratch;
  fs::copy(golden("models/rwkv7_fp32/rwkv7.pth"), scratch / "rwkv7.pth");
  expect_all_fail(Content(golden("models/rwkv7_fp32/golden.safetensors")), scratch / "golden.safetensors",
                  scratch.dir(), kCpu);
}

TEST_F(Verify, EveryWrongTensorOfATrainingRunFails) {
  const Scratch scratch;
  fs::copy(golden("models/rwkv7_fp32/rwkv7.pth"), scratch / "rwkv7.pth");
  const fs::path file = scratch / "training.safetensors";
  expect_all_fail(Content(golden("train/rwkv7.safetensors")), file, file, kCpu);
}

// The runs differ by little; each must fail against the plain run's numbers.
TEST_F(Verify, TrainingRunsAreToldApart) {
  const Scratch scratch;
  fs::copy(golden("models/rwkv7_fp32/rwkv7.pth"), scratch / "rwkv7.pth");
  Content content(golden("train/rwkv7.safetensors"));
  std::vector<std::string> all;
  for (const std::string run : {"noclip.", "l2wrap."}) {
    for (const std::string name : {"loss", "grad_norm"}) {
      copy(content.tensors.at(run + name).view, content.tensors.at(name).view);
      all.push_back(run + name);
    }
  }
  content.write(scratch / "training.safetensors");
  EXPECT_EQ(failing(verify(scratch / "training.safetensors", kCpu)), all);
}

TEST_F(Verify, NotANumberFails) {
  const Scratch scratch;
  Content content(golden("ops/wkv7_t1.safetensors"));
  set_element(content.tensors.at("y").view, 3, NAN);
  content.write(scratch / "nan.safetensors");
  EXPECT_EQ(failing(verify(scratch / "nan.safetensors", kCpu)),
            (std::vector<std::string>{"y", "y (step by step)"}));
}

TEST_F(Verify, AnUnknownTensorFails) {
  const Scratch scratch;
  Content content(golden("ops/wkv7_t1.safetensors"));
  content.tensors.emplace("grad.u", Tensor({2, 64}, DType::F32));
  content.write(scratch / "more.safetensors");
  EXPECT_EQ(failing(verify(scratch / "more.safetensors", kCpu)),
            std::vector<std::string>{"grad.u (not computed)"});
}

TEST_F(Verify, AnotherParameterGroupFails) {
  const Scratch scratch;
  fs::copy(golden("models/rwkv7_fp32/rwkv7.pth"), scratch / "rwkv7.pth");
  Content content(golden("train/rwkv7.safetensors"));
  std::string& groups = content.metadata.at("param_lr_scale_and_weight_decay");
  const std::string stated = "\"blocks.1.att.w0\": [2.0, 0.0]";
  ASSERT_NE(groups.find(stated), std::string::npos);
  groups.replace(groups.find(stated), stated.size(), "\"blocks.1.att.w0\": [1.0, 0.0]");
  for (const std::string run : {"noclip", "l2wrap"}) {
    content.tensors.erase(run + ".loss");
    content.tensors.erase(run + ".grad_norm");
  }
  content.write(scratch / "rwkv7.safetensors");
  EXPECT_EQ(failing(verify(scratch / "rwkv7.safetensors", kCpu)),
            (std::vector<std::string>{"group of blocks.1.att.w0", "learning-rate scales, decays"}));
}

TEST_F(Verify, WritesWhatItComputed) {
  const Scratch scratch;
  const fs::path source = golden("models/rwkv7_bf16/golden.safetensors");
  write_computed(verify(source, kCpu), scratch / "own.safetensors");
  const Content own(scratch / "own.safetensors"), expected(source);
  for (const auto& [name, tensor] : expected.tensors) {
    if (!is_result(name)) continue;
    ASSERT_TRUE(own.tensors.contains(name)) << name;
    const TensorView& got = own.tensors.at(name).view;
    EXPECT_EQ(got.shape, tensor.view.shape) << name;
    ASSERT_EQ(got.dtype, tensor.view.dtype) << name;
    if (got.dtype == DType::I32) {
      for (std::int64_t i = 0; i < got.numel(); ++i) {
        EXPECT_EQ(got.as<std::int32_t>()[i], tensor.view.as<std::int32_t>()[i]) << name;
      }
      continue;
    }
    const std::int64_t at = largest(tensor.view, tensor.view.numel());
    EXPECT_NEAR(element(got, at), element(tensor.view, at), 1e-3 * std::abs(element(tensor.view, at)) + 1e-12)
        << name;
  }
}

TEST_F(Verify, NamesWhatItCannotRead) {
  const Scratch scratch;
  const auto expect = [](const fs::path& path, const VerifyOptions& options, Exit code,
                         const std::string& text) {
    const auto [got, what] = error_of([&] { verify(path, options); });
    EXPECT_EQ(got, code) << what;
    EXPECT_NE(what.find(text), std::string::npos) << what;
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
  };
  expect(scratch / "none.safetensors", kCpu, Exit::Checkpoint, "none.safetensors");
  expect(scratch.dir(), kCpu, Exit::Checkpoint, "no golden.safetensors in this folder");

  Content op(golden("ops/wkv7_t1.safetensors"));
  op.metadata["op"] = "wkv4";
  op.write(scratch / "wkv4.safetensors");
  expect(scratch / "wkv4.safetensors", kCpu, Exit::Checkpoint, "op is wkv4, this build has only wkv7");
  op.metadata.clear();
  op.write(scratch / "plain.safetensors");
  expect(scratch / "plain.safetensors", kCpu, Exit::Checkpoint, "not a golden file");
  std::ofstream(scratch / "cut.safetensors") << "\x10";
  expect(scratch / "cut.safetensors", kCpu, Exit::Checkpoint, "cut.safetensors");

  Content training(golden("train/rwkv7.safetensors"));
  training.write(scratch / "alone.safetensors");
  expect(scratch / "alone.safetensors", kCpu, Exit::Checkpoint, "initial checkpoint models/rwkv7_fp32");
  training.metadata["arch"] = "rwkv6";
  training.write(scratch / "rwkv6.safetensors");
  expect(scratch / "rwkv6.safetensors", kCpu, Exit::Checkpoint, "arch is rwkv6, this build has only rwkv7");
  expect(golden("ops/wkv7_t1.safetensors"), {Impl::Cuda, DType::F32}, Exit::Config, "impl cuda");
}

TEST_F(Verify, NamesTheTensorOfAnotherShape) {
  const Scratch scratch;
  fs::copy(golden("models/rwkv7_fp32/rwkv7.pth"), scratch / "rwkv7.pth");
  const auto expect = [&](const std::string& source, const std::string& tensor) {
    Content content(golden(source));
    content.tensors.at(tensor) = Tensor({3}, DType::F32);
    content.write(scratch / "golden.safetensors");
    const auto [code, what] = error_of([&] { verify(scratch / "golden.safetensors", kCpu); });
    EXPECT_EQ(code, Exit::Checkpoint);
    EXPECT_NE(what.find(tensor + " has shape (3)"), std::string::npos) << what;
  };
  expect("ops/wkv7_t1.safetensors", "dy");
  expect("ops/wkv7_t1.safetensors", "grad.k");
  expect("models/rwkv7_fp32/golden.safetensors", "state.1.att_kv");
  expect("models/rwkv7_fp32/golden.safetensors", "greedy_margin");
  expect("train/rwkv7.safetensors", "final.ln_out.bias");
}

}  // namespace
}  // namespace rt
