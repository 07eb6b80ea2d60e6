#include "apps/guard.h"

#include <cstdio>
#include <exception>
#include <new>

#include "rt/core/error.h"

namespace rt {
namespace {

int report(const char* what, Exit code) {
  std::fflush(stdout);
  std::fprintf(stderr, "error: %s\n", what);
  return static_cast<int>(code);
}

}  // namespace

int guarded(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& e) { return report(e.what(), e.code()); } catch (const std::bad_alloc&) {
    return report("memory: an allocation failed. Lower the model's size or the batch.", Exit::Memory);
  } catch (const std::exception& e) { return report(e.what(), Exit::Failure); }
}

}  // namespace rt
