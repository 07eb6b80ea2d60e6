#include "rt/train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/toy_run.h"

namespace rt {
namespace {

TEST(Metrics, AResumedRunDropsWhatItWillRunAgain) {
  const testing::TempDir temp("rt-metrics");
  const auto path = temp.path() / "metrics.jsonl";
  {
    MetricsFile file(path, 0);
    for (std::int64_t step = 1; step <= 5; ++step) file.write({{"step", step}, {"loss", 0.5 * double(step)}});
    file.write({{"event", std::string("eval")}, {"step", std::int64_t{4}}, {"loss", NAN}});
  }
  std::ofstream(path, std::ios::app) << "{\"step\":6,\"los";  // a kill in the middle of a line
  MetricsFile resumed(path, 3);
  resumed.write({{"step", std::int64_t{4}}, {"loss", 9.0}});
  EXPECT_EQ(testing::file_bytes(path),
            "{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":1.0}\n{\"step\":3,\"loss\":1.5}\n{\"step\":4,"
            "\"loss\":9.0}\n");
}

}  // namespace
}  // namespace rt
