#include "rt/io/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "io/checkpoint_dir.h"
#include "io/sys.h"
#include "io/text.h"
#include "rt/core/error.h"
#include "rt/core/log.h"

namespace rt::io {
namespace fs = std::filesystem;

namespace {
constexpr std::string_view kPrefix = "step-";

std::optional<std::uint64_t> parse_step(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::uint64_t step = 0;
  const auto* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc() || rest != end || checkpoint_name(step) != name) return std::nullopt;
  return step;
}

std::string_view without_suffix(std::string_view name, std::string_view suffix) {
  if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  return name;
}

std::vector<fs::path> subdirectories(const fs::path& root) {
  std::vector<fs::path> out;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(root, missing)) {
    std::error_code gone;
    if (entry.is_directory(gone)) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Why the file is not what the manifest says, or nothing.
std::optional<std::string> mismatch(const fs::path& path, const FileDigest& expected, ReadFrom from) {
  std::error_code missing;
  const auto size = fs::file_size(path, missing);
  if (missing) return "missing";
  if (size != expected.size) return format("{} bytes, manifest says {}", size, expected.size);
  const auto found = digest_file(path, expected.ends, from);
  if (found == expected) return std::nullopt;
  std::uint64_t begin = 0, end = expected.size;
  for (std::size_t i = 0; i < std::min(found.blocks.size(), expected.blocks.size()); ++i) {
    if (found.blocks[i] == expected.blocks[i]) continue;
    if (expected.ends.empty()) {
      begin = i * kDigestBlockBytes;
      end = std::min(end, begin + kDigestBlockBytes);
    } else {
      begin = i == 0 ? 0 : expected.ends[i - 1];
      end = expected.ends[i];
    }
    return format("checksum mismatch in bytes {}-{}, stored {}, read {}", begin, end,
                  hex64(expected.blocks[i]), hex64(found.blocks[i]));
  }
  return format("checksum mismatch in bytes 0-{}, stored {}, read {}", end, hex64(expected.xxh3),
                hex64(found.xxh3));
}

// Why the checkpoint is not good, or nothing. Through the cache, as it will be loaded next.
std::optional<std::string> damage(const fs::path& dir, ReadFrom from = ReadFrom::Cache) {
  try {
    const auto manifest = parse_manifest(read_text(dir / kManifestName));
    const auto named = parse_step(without_suffix(dir.filename().string(), kReplacedSuffix));
    if (named && *named != manifest.step) return format("{}: is of step {}", kManifestName, manifest.step);
    for (const auto& [name, digest] : manifest.files) {
      if (const auto why = mismatch(dir / name, digest, from)) return name + ": " + *why;
    }
    return std::nullopt;
  } catch (const Error& e) { return e.what(); }
}

// Moves a damaged checkpoint out of the way; says where it is now.
std::string quarantine(const fs::path& root, const fs::path& dir) {
  try {
    sys::make_directory(root / kQuarantine);
    const auto target = free_name(root / kQuarantine, dir.filename().string());
    sys::rename(dir, target);
    sys::sync_directory(root / kQuarantine);
    sys::sync_directory(root);
    return format("moved to {}/{}", kQuarantine, target.filename().string());
  } catch (const Error& e) { return format("left in place ({})", e.what()); }
}

void report_partial(const fs::path& root) {
  const auto partial = partial_checkpoints(root);
  if (partial.empty()) return;
  std::string names;
  for (const auto& p : partial) names += (names.empty() ? "" : ", ") + p.filename().string();
  log::warn("checkpoint", "{}: {} partial, ignored: {}", root.string(), partial.size(), names);
}

}  // namespace

std::string checkpoint_name(std::uint64_t step) {
  auto digits = std::to_string(step);
  constexpr std::size_t kDigits = 8;
  if (digits.size() < kDigits) digits.insert(0, kDigits - digits.size(), '0');
  return std::string(kPrefix) + digits;
}

std::vector<CheckpointInfo> list_checkpoints(const fs::path& root) {
  std::vector<CheckpointInfo> out;
  for (const auto& dir : subdirectories(root)) {
    const auto name = dir.filename().string();
    if (const auto step = parse_step(without_suffix(name, kReplacedSuffix))) out.push_back({*step, dir});
  }
  // A replaced one comes before the one that replaces it.
  std::sort(out.begin(), out.end(), [](const CheckpointInfo& a, const CheckpointInfo& b) {
    return a.step != b.step ? a.step < b.step : a.dir > b.dir;
  });
  return out;
}

std::vector<fs::path> partial_checkpoints(const fs::path& root) {
  std::vector<fs::path> out;
  for (const auto& dir : subdirectories(root)) {
    const auto name = dir.filename().string();
    if (name.ends_with(kPartialSuffix) && parse_step(without_suffix(name, kPartialSuffix)))
      out.push_back(dir);
  }
  return out;
}

void verify_checkpoint(const fs::path& dir) {
  if (const auto why = damage(dir)) fail(Exit::Checkpoint, "{} failed verification ({})", dir.string(), *why);
}

std::optional<CheckpointInfo> newest_good_checkpoint(const fs::path& root) {
  report_partial(root);
  auto all = list_checkpoints(root);
  while (!all.empty()) {
    const auto newest = all.back();
    const auto why = damage(newest.dir);
    if (!why) return newest;
    all.pop_back();
    const auto name = newest.dir.filename().string();
    const auto next = all.empty() ? std::string("nothing older") : all.back().dir.filename().string();
    log::warn("checkpoint", "{} failed verification ({}). Falling back to {}; {} {}.", name, *why, next, name,
              quarantine(root, newest.dir));
  }
  return std::nullopt;
}

void sweep_checkpoints(const fs::path& root) {
  for (const auto& partial : partial_checkpoints(root)) sys::remove_tree(partial);
  empty_trash(root);
}

std::vector<CheckpointInfo> prune_checkpoints(const fs::path& root, const Retention& keep) {
  empty_trash(root);
  const auto all = list_checkpoints(root);
  const std::set<std::uint64_t> named(keep.steps.begin(), keep.steps.end());
  const std::size_t last = std::max<std::size_t>(keep.last, 1);
  std::vector<CheckpointInfo> kept, doomed;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto step = all[i].step;
    const bool keeps = i + last >= all.size() || named.contains(step) ||
                       (keep.every_steps > 0 && step % keep.every_steps == 0);
    (keeps ? kept : doomed).push_back(all[i]);
  }
  if (doomed.empty()) return {};
  const auto good = [](const CheckpointInfo& c) { return !damage(c.dir, ReadFrom::Disk); };
  if (std::none_of(kept.rbegin(), kept.rend(), good)) {
    const auto spared = std::find_if(doomed.rbegin(), doomed.rend(), good);
    if (spared == doomed.rend()) return {};  // nothing verifies: whatever is left may be all there is
    doomed.erase(std::next(spared).base());
  }
  for (const auto& c : doomed) discard(root, c.dir);
  return doomed;
}

}  // namespace rt::io
