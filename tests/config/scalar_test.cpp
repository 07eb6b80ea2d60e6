#include "config/scalar.h"

#include <gtest/gtest.h>

#include <cmath>

namespace rt::config {
namespace {

TEST(Scalar, Counts) {
  EXPECT_EQ(parse_count("0"), 0);
  EXPECT_EQ(parse_count("524288"), 524288);
  EXPECT_EQ(parse_count("0.5M"), 500'000);
  EXPECT_EQ(parse_count("512Ki"), 524'288);
  EXPECT_EQ(parse_count("1.5Ki"), 1536);
  EXPECT_EQ(parse_count("2k"), 2000);
  EXPECT_EQ(parse_count("1B"), 1'000'000'000);
  EXPECT_EQ(parse_count("1.498226207B"), 1'498'226'207);
  EXPECT_EQ(parse_count("3T"), 3'000'000'000'000);
  EXPECT_EQ(parse_count("100_000"), 100'000);
  EXPECT_EQ(parse_count("9223372036854775807"), INT64_MAX);
  for (const char* bad : {"",
                          "512kk",
                          "512K",
                          "1.5",
                          "-1",
                          "+1",
                          "010",
                          "0x10",
                          "1e6",
                          "1:30",
                          "_1",
                          "1_",
                          "1__0",
                          "1.M",
                          ".5M",
                          "1.2.3M",
                          "1 M",
                          "0.0001k",
                          "9223372036854775808",
                          "10000000000B"}) {
    EXPECT_FALSE(parse_count(bad).has_value()) << bad;
  }
}

TEST(Scalar, RealsReadBackToTheSameBitsAndAreYaml11Numbers) {
  for (const double value :
       {0.1, 1e-18, 6e-4, 1.0, 0.0, 123456.75, 1.0 / 3, 5e-324, 1.7976931348623157e308}) {
    const std::string text = format_real(value);
    EXPECT_EQ(parse_real(text), value) << text;
    EXPECT_NE(text.find('.'), std::string::npos) << text;
  }
  EXPECT_EQ(format_real(1e-18), "1.0e-18");
  EXPECT_EQ(format_real(1e-5), "1.0e-5");
  EXPECT_EQ(format_real(1.5e-10), "1.5e-10");
  EXPECT_EQ(format_real(2), "2.0");
  EXPECT_EQ(parse_real("1e-4"), 1e-4);
  EXPECT_EQ(parse_real("+.5"), 0.5);
  for (const char* bad : {"", "nan", "inf", "1e999", "0.1x", "0,1", "--1", ".inf"}) {
    EXPECT_FALSE(parse_real(bad).has_value()) << bad;
  }
}

TEST(Scalar, Durations) {
  using std::chrono::seconds;
  EXPECT_EQ(parse_duration("45s"), seconds(45));
  EXPECT_EQ(parse_duration("30m"), seconds(1800));
  EXPECT_EQ(parse_duration("23h30m"), seconds(84600));
  EXPECT_EQ(parse_duration("1d2s"), seconds(86402));
  EXPECT_EQ(parse_duration("1.5h"), seconds(5400));
  for (const char* bad : {"", "30", "m", "30m23h", "5m5m", "30 m", "1w", "-5s", "0.1s"}) {
    EXPECT_FALSE(parse_duration(bad).has_value()) << bad;
  }
  for (const std::int64_t s : {0, 1, 59, 60, 3600, 84600, 86400, 90061}) {
    EXPECT_EQ(parse_duration(format_duration(seconds(s))), seconds(s));
  }
  EXPECT_EQ(format_duration(seconds(84600)), "23h30m");
}

TEST(Scalar, Quantities) {
  EXPECT_EQ(parse_quantity("200steps"), steps(200));
  EXPECT_EQ(parse_quantity("1 step"), steps(1));
  EXPECT_EQ(parse_quantity("2ksteps"), steps(2000));
  EXPECT_EQ(parse_quantity("1M"), tokens(1'000'000));
  EXPECT_EQ(parse_quantity("1Mtokens"), tokens(1'000'000));
  EXPECT_EQ(parse_quantity("512 tokens"), tokens(512));
  EXPECT_EQ(parse_quantity("20%"), percent(20));
  EXPECT_EQ(parse_quantity("2.5 %"), percent(2.5));
  for (const char* bad :
       {"", "100", "steps", "%", "1.5steps", "10 apples", "20%%", "9007199254740993tokens"}) {
    EXPECT_FALSE(parse_quantity(bad).has_value()) << bad;
  }
  for (const Quantity& q : {steps(0), steps(12), tokens(3), tokens(1LL << 53), percent(0.1), percent(33)}) {
    EXPECT_EQ(parse_quantity(format_quantity(q)), q) << format_quantity(q);
  }
  EXPECT_EQ(steps(7).steps(100, 1000), 7);
  EXPECT_EQ(tokens(101).steps(100, 1000), 2);
  EXPECT_EQ(percent(20).steps(100, 1001), 200);
}

TEST(Scalar, Devices) {
  EXPECT_EQ(parse_device_name("cpu"), Device::cpu());
  EXPECT_EQ(parse_device_name("cuda"), Device::cuda(0));
  EXPECT_EQ(parse_device_name("cuda:3"), Device::cuda(3));
  for (const char* bad : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0"}) {
    EXPECT_FALSE(parse_device_name(bad).has_value()) << bad;
  }
}

TEST(Scalar, YamlBooleans) {
  for (const char* text : {"no", "No", "NO", "yes", "on", "off", "true", "False", "y", "N"}) {
    EXPECT_TRUE(is_yaml_boolean(text)) << text;
  }
  for (const char* text : {"nO", "norway", "", "onn", "0", "null"})
    EXPECT_FALSE(is_yaml_boolean(text)) << text;
}

}  // namespace
}  // namespace rt::config
