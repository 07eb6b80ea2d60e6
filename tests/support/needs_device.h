#pragma once
#include <gtest/gtest.h>

#include "rt/core/device.h"

// A test of the CUDA backend: on a device, or on the emulation's.
#define RT_NEEDS_DEVICE() \
  if (::rt::cuda_device_count() == 0) GTEST_SKIP() << "no CUDA device"
