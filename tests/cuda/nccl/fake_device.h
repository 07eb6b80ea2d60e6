#pragma once
#include <functional>
#include <string>
#include <vector>

// Devices that are threads of the host: each stream is one, so that two of them are as little in step as on a
// GPU. Behind rt::cuda::device_api_table(), as the real ones are. Memory begins as NaN.
namespace rt::testing::fake_device {

inline constexpr int kDevices = 8;

void submit(void* stream, std::function<void()> work);  // runs when the stream comes to it
int current();                                          // the calling thread's device; -1: none was chosen
// Kernels launched by a thread whose current device is not the stream's, and the like; empties the list.
std::vector<std::string> mistakes();

}  // namespace rt::testing::fake_device
