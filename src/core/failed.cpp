#include "rt/core/failed.h"

#include <exception>
#include <new>

namespace rt {

Failed what_was_thrown() {
  try {
    throw;
  } catch (const Error& e) { return {e.code(), e.what()}; } catch (const std::bad_alloc&) {
    return {Exit::Memory, "memory: an allocation failed. Lower the model's size or the batch."};
  } catch (const std::exception& e) { return {Exit::Failure, e.what()}; } catch (...) {
    return {Exit::Failure, "an exception of unknown type"};
  }
}

}  // namespace rt
