#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "rt/data/tokenizer.h"

namespace rt::data {

// What CharVocabulary::build() made, from its to_json(). Exit::Data, beginning with `where`.
std::unique_ptr<Tokenizer> chars_from_json(const nlohmann::json& json, std::string_view where);

}  // namespace rt::data
