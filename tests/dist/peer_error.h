#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "rt/core/error.h"

namespace rt::dist {

// What a call says that is to fail with Exit::Peer.
inline std::string peer_error(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::Peer);
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

}  // namespace rt::dist
