#include "io/manifest.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "io/text.h"
#include "rt/core/error.h"

namespace rt::io {
namespace {
using Json = nlohmann::json;  // keys sorted: one manifest has one text
constexpr int kVersion = 1;
constexpr const char* kFormat = "rwkv-train checkpoint";

[[noreturn]] void bad(const std::string& why) { fail(Exit::Checkpoint, "{}: {}", kManifestName, why); }

std::uint64_t hex_of(const Json& value) {
  const auto parsed = parse_hex64(value.get_ref<const std::string&>());
  if (!parsed) bad("not a checksum");
  return *parsed;
}

Json body_of(const Manifest& manifest) {
  Json files = Json::object();
  for (const auto& [name, digest] : manifest.files) {
    Json& f = files[name] = {{"size", digest.size}, {"xxh3", hex64(digest.xxh3)}};
    for (const auto block : digest.blocks) f["blocks"].push_back(hex64(block));
    if (!digest.ends.empty()) f["ends"] = digest.ends;
  }
  return {{"format", kFormat},
          {"version", kVersion},
          {"step", manifest.step},
          {"block_bytes", kDigestBlockBytes},
          {"files", std::move(files)}};
}

std::string checksum_of(const Json& body) {
  const auto text = body.dump();
  return hex64(xxh3(std::as_bytes(std::span(text))));
}

Manifest read_body(const Json& body) {
  Manifest out;
  out.step = body.at("step").get<std::uint64_t>();
  for (const auto& [name, f] : body.at("files").items()) {
    if (!is_plain_basename(name)) bad("lists " + shown(name) + ", which is not a plain file name");
    FileDigest d{.size = f.at("size").get<std::uint64_t>(), .xxh3 = hex_of(f.at("xxh3")), .blocks = {}};
    if (f.contains("blocks")) {
      for (const auto& block : f.at("blocks")) d.blocks.push_back(hex_of(block));
    }
    if (f.contains("ends")) d.ends = f.at("ends").get<std::vector<std::uint64_t>>();
    const bool rise = std::ranges::adjacent_find(d.ends, std::greater_equal()) == d.ends.end();
    if (!d.ends.empty() &&
        (d.ends.size() != d.blocks.size() || !rise || d.ends[0] == 0 || d.ends.back() != d.size))
      bad("the blocks of " + shown(name) + " are not its whole");
    out.files.emplace(name, std::move(d));
  }
  return out;
}
}  // namespace

std::string to_text(const Manifest& manifest) {
  auto body = body_of(manifest);
  body["manifest_xxh3"] = checksum_of(body);
  return body.dump(1) + "\n";
}

Manifest parse_manifest(const std::string& text) {
  try {
    auto body = Json::parse(text);
    if (body.dump(1) + "\n" != text) bad("damaged: not in the form it was written in");
    const auto version = body.at("version").get<int>();
    if (body.at("format") != kFormat || version > kVersion)
      bad(format("version {} is not supported", version));
    const auto stored = body.at("manifest_xxh3").get<std::string>();
    body.erase("manifest_xxh3");
    if (const auto read = checksum_of(body); read != stored) {
      bad(format("checksum mismatch, stored {}, read {}", shown(stored), read));
    }
    return read_body(body);
  } catch (const Json::exception&) { bad("damaged: not the JSON that was written"); }
}

}  // namespace rt::io
