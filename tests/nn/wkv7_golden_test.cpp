#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "rt/io/archive.h"
#include "rt/ops/wkv7.h"

// The op against tests/golden/ops/wkv7_*.safetensors: the upstream implementation run in float64, stored as
// f32.
namespace {

using rt::io::TensorArchive;

struct Tolerance {
  double output, gradient;
};

class Golden {
 public:
  explicit Golden(const std::filesystem::path& path)
      : file_(rt::io::open_safetensors(path)), shape_(file_.info("r").shape) {}

  double error(const std::string& name, const rt::TensorView& got) const {
    const std::vector<double> want = file_.read_f64(name);
    double diff = 0, norm = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      const double d = rt::element(got, static_cast<std::int64_t>(i)) - want[i];
      diff += d * d;
      norm += want[i] * want[i];
    }
    const double rms = std::sqrt(diff) / (norm > 0 ? std::sqrt(norm) : 1.0);
    return std::isnan(rms) ? INFINITY : rms;
  }

  void check(rt::Impl impl, Tolerance tol) {
    const rt::DType dtype = impl == rt::Impl::Ref ? rt::DType::F64 : rt::DType::F32;
    const std::int64_t B = shape_[0], T = shape_[1], H = shape_[2], N = shape_[3];
    rt::Workspace ws(rt::Device::cpu(), impl, std::size_t{64} << 20, std::size_t{64} << 20,
                     std::size_t{64} << 20);
    rt::Tape tape(ws.ctx(), rt::Record::Yes);
    const std::vector<std::string> names{"r", "w", "k", "v", "a", "b", "state0"};
    std::vector<rt::Tensor> grads;
    std::vector<rt::Var> in;
    for (const std::string& name : names) {
      const rt::Shape s = name == "state0" ? rt::Shape{B, H, N, N} : rt::Shape{B, T, H * N};
      values_.emplace_back(s, dtype);
      grads.emplace_back(s, dtype);
      fill(name, values_.back().view);
      in.push_back(tape.input(values_.back().view, {grads.back().view, rt::GradMode::Overwrite}));
    }
    const auto decay =
        file_.metadata().at("decay") == "exp(-exp(w))" ? rt::Wkv7Decay::Raw : rt::Wkv7Decay::Clamped;
    const rt::Wkv7Result out = rt::wkv7(tape, in[0], in[1], in[2], in[3], in[4], in[5], in[6], {}, N, decay);
    EXPECT_LE(error("y", tape.value(out.y)), tol.output);
    EXPECT_LE(error("state1", tape.value(out.state)), tol.output);
    const rt::Tensor dy({B, T, H * N}, dtype), dstate({B, H, N, N}, dtype);
    fill("dy", dy.view);
    fill("dstate1", dstate.view);
    tape.seed(out.y, dy.view);
    tape.seed(out.state, dstate.view);
    tape.backward();
    for (std::size_t i = 0; i < names.size(); ++i) {
      EXPECT_LE(error("grad." + names[i], grads[i].view), tol.gradient) << "gradient of " << names[i];
    }
  }

 private:
  void fill(const std::string& name, const rt::TensorView& to) const {
    const std::vector<double> from = file_.read_f64(name);
    ASSERT_EQ(static_cast<std::int64_t>(from.size()), to.numel());
    for (std::size_t i = 0; i < from.size(); ++i) {
      rt::set_element(to, static_cast<std::int64_t>(i), from[i]);
    }
  }

  TensorArchive file_;
  rt::Shape shape_;
  std::vector<rt::Tensor> values_;
};

TEST(Wkv7Golden, MatchesUpstream) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(RT_SOURCE_DIR "/tests/golden/ops")) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("wkv7_", 0) != 0) continue;
    SCOPED_TRACE(name);
    const bool strong = name.find("strong") != std::string::npos;
    Golden(entry.path()).check(rt::Impl::Ref, {1e-6, 1e-6});
    Golden(entry.path()).check(rt::Impl::Cpu, strong ? Tolerance{2e-5, 1e-4} : Tolerance{1e-5, 5e-5});
    ++files;
  }
  EXPECT_EQ(files, 11);
}

}  // namespace
