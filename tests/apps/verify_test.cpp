#include "rt/core/buffer.h"
#include "rt/io/safetensors.h"
#include "tests/apps/apps_support.h"

namespace rt::apps_test {
namespace {

class RwkvVerify : public Program {
 protected:
  static std::string golden(const std::string& path) {
    return std::string(RT_SOURCE_DIR) + "/tests/golden/" + path;
  }
};

TEST_F(RwkvVerify, ChecksGoldenFiles) {
  const fs::path own = dir_ / "own.safetensors";
  const Outcome op =
      run({"rwkv", "verify", golden("ops/wkv7_t17.safetensors"), "--impl", "ref", "--out", own.string()});
  EXPECT_TRUE(succeeds(op));
  EXPECT_TRUE(has(op.out, "wkv7 t17, ref f64\n")) << op.out;
  EXPECT_TRUE(has(op.out, "all 12 within tolerance\n")) << op.out;
  EXPECT_TRUE(io::open_safetensors(own).contains("grad.state0"));
  const Outcome model = run({"rwkv", "verify", golden("models/rwkv7_bf16"), "--precision", "bf16"});
  EXPECT_TRUE(succeeds(model)) << model.out;
  EXPECT_TRUE(has(model.out, "\n  greedy_tokens ")) << model.out;
}

TEST_F(RwkvVerify, AWrongGoldenIsStatusOne) {
  const io::TensorArchive archive = io::open_safetensors(golden("ops/wkv7_t1.safetensors"));
  const Tensor zeros(archive.info("y").shape, DType::F32);
  std::vector<io::NamedTensor> tensors;
  for (const std::string& name : archive.names()) {
    tensors.push_back({name, name == "y" ? zeros.view : archive.tensor(name)});
  }
  const fs::path wrong = dir_ / "wrong.safetensors";
  io::write_safetensors(wrong, tensors, archive.metadata());
  const Outcome o = run({"rwkv", "verify", wrong.string()});
  EXPECT_EQ(o.status, 1) << o.err;
  EXPECT_TRUE(has(o.out, "FAIL: 2 of 12\n")) << o.out;
}

TEST_F(RwkvVerify, Mistakes) {
  const std::string op = golden("ops/wkv7_t1.safetensors");
  EXPECT_TRUE(refuses(run({"rwkv", "verify"}), 2, "path is required"));
  EXPECT_TRUE(refuses(run({"rwkv", "verify", "/no/such"}), 4, "/no/such"));
  EXPECT_TRUE(refuses(run({"rwkv", "verify", golden("ops")}), 4, "no golden.safetensors"));
  EXPECT_TRUE(refuses(run({"rwkv", "verify", golden("models/rwkv7_fp32/rwkv7.pth")}), 4, "rwkv7.pth"));
  EXPECT_TRUE(refuses(run({"rwkv", "verify", op, "--precision", "f16"}), 2, "f32|bf16"));
  EXPECT_TRUE(refuses(run({"rwkv", "verify", op, "--impl", "ref", "--precision", "f32"}), 2, "f64"));
  EXPECT_TRUE(refuses(run({"rwkv", "verify", op, "--impl", "cuda"}), 2, "impl cuda"));
}

}  // namespace
}  // namespace rt::apps_test
