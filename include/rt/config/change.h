#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rt::config {

struct RunConfig;

// What resuming a stored run with another value of a key would disturb. checkpoint.allow_change names those
// that the user accepts; Model cannot be accepted, Harmless needs no leave.
enum class ChangeClass : std::uint8_t { Harmless, Lr, Schedule, Data, Batch, Budget, Model };

std::string_view to_string(ChangeClass kind);  // as written in checkpoint.allow_change

struct ConfigChange {
  std::string path;  // "data.seq_len"; lists of equal length are compared item by item ("data.train.0.path")
  std::string from, to;  // as YAML; "(unset)" where one side lacks the key
  ChangeClass kind = ChangeClass::Harmless;
  friend bool operator==(const ConfigChange&, const ConfigChange&) = default;
};

// Every key whose resolved value differs, in the order of the schema.
std::vector<ConfigChange> diff(const RunConfig& stored, const RunConfig& now);

// "data.seq_len 4096 -> 8192 changes sample order"
std::string describe(const ConfigChange& change);

}  // namespace rt::config
