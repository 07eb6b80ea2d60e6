#pragma once
#include <string>

namespace rt {

// What --version prints: version, commit, compiler, CPU features, matrix product, CUDA; one per line.
std::string version_text(const std::string& program);

}  // namespace rt
