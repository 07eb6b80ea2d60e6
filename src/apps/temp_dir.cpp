#include "apps/temp_dir.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "rt/core/error.h"

namespace rt {

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "rwkv-XXXXXX").string();
  if (!mkdtemp(name.data())) fail(Exit::Failure, "{}: cannot be created: {}.", name, std::strerror(errno));
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace rt
