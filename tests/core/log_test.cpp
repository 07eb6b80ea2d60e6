#include "rt/core/log.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace rt {
namespace {

// A disk that is full costs lines of the log, and not what it tells of.
TEST(Log, AFullDiskIsNoError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "needs /dev/full";
  log::open_file("/dev/full");
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) EXPECT_NO_THROW(log::info("test", "line {}", i));
  const std::string said = ::testing::internal::GetCapturedStderr();
  log::close_file();
  EXPECT_NE(said.find("[test] line 2"), std::string::npos) << said;
  const auto first = said.find("[log] warning: ");
  EXPECT_NE(first, std::string::npos) << said;
  EXPECT_EQ(said.find("[log] warning: ", first + 1), std::string::npos) << said;
}

}  // namespace
}  // namespace rt
