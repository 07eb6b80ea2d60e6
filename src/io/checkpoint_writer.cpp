#include <cstring>

#include "io/checkpoint_dir.h"
#include "io/sys.h"
#include "io/text.h"
#include "rt/core/error.h"
#include "rt/io/checkpoint.h"

namespace rt::io {
namespace fs = std::filesystem;

namespace {
void ensure_directory(const fs::path& path) {
  if (path.empty() || fs::is_directory(path)) return;
  const auto parent = path.parent_path();
  ensure_directory(parent);
  sys::make_directory(path);
  sys::sync_directory(parent.empty() ? fs::path(".") : parent);
}
}  // namespace

fs::path free_name(const fs::path& parent, const std::string& name) {
  auto candidate = parent / name;
  for (int i = 1; fs::exists(fs::symlink_status(candidate)); ++i)
    candidate = parent / (name + "." + std::to_string(i));
  return candidate;
}

void discard(const fs::path& root, const fs::path& dir) {
  const auto trash = root / kTrash;
  ensure_directory(trash);
  const auto moved = free_name(trash, dir.filename().string());
  sys::rename(dir, moved);
  sys::sync_directory(trash);
  sys::sync_directory(root);
  sys::remove_tree(moved);
}

void empty_trash(const fs::path& root) {
  if (fs::exists(root / kTrash)) sys::remove_tree(root / kTrash);
}

CheckpointWriter::CheckpointWriter(fs::path root, std::uint64_t step, SaveCrew crew)
    : root_(std::move(root)),
      temporary_(root_ / (checkpoint_name(step) + kPartialSuffix)),
      final_(root_ / checkpoint_name(step)),
      crew_(std::move(crew)),
      step_(step) {
  lead([&] {
    ensure_directory(root_);
    empty_trash(root_);
    sys::remove_tree(temporary_);
    sys::make_directory(temporary_);
  });
}

CheckpointWriter::~CheckpointWriter() {
  if (committed_ || !crew_.leads()) return;
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

// What each process does and says of it, and then what is made of all of that; or, in all of them, the error
// of the first that had one.
void CheckpointWriter::together(const std::function<std::string()>& mine,
                                const std::function<void(const std::vector<std::string>&)>& then) {
  if (crew_.size == 1) {
    const std::string text = mine();
    if (then) then({text});
    return;
  }
  std::string said;
  try {
    said = "+" + mine();
  } catch (const DiskFull& e) { said = std::string("0") + e.what(); } catch (const Error& e) {
    said = std::string("-") + e.what();
  }
  std::vector<std::string> all = crew_.gather(said);
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (all[r].starts_with("0")) throw DiskFull(format("rank {}: {}", r, all[r].substr(1)));
    if (all[r].starts_with("-")) fail(Exit::Checkpoint, "rank {}: {}", r, all[r].substr(1));
    all[r].erase(0, 1);
  }
  if (then) then(all);
}

// Rank 0 alone; the others learn whether it could.
void CheckpointWriter::lead(const std::function<void()>& work) {
  together([&] {
    if (crew_.leads()) work();
    return std::string();
  });
}

void CheckpointWriter::begin_file(const std::string& name) {
  RT_CHECK(!committed_ && !failed_, "{}: checkpoint written to after it was committed or had failed",
           final_.string());
  RT_CHECK(is_plain_basename(name) && name != kManifestName, "{}: {} cannot name a file of a checkpoint",
           final_.string(), shown(name));
  RT_CHECK(!files_.contains(name), "{}: {} is written twice", final_.string(), shown(name));
  failed_ = true;  // until it went well
}

void CheckpointWriter::file(const std::string& name, const std::function<void(FileWriter&)>& produce) {
  begin_file(name);
  FileDigest digest;
  lead([&] {
    FileWriter out(temporary_ / name);
    produce(out);
    digest = out.finish();
  });
  files_.emplace(name, std::move(digest));
  failed_ = false;
}

void CheckpointWriter::tensors(const std::string& name, std::span<const NamedTensor> tensors,
                               const Metadata& metadata) {
  file(name, [&](FileWriter& out) { write_safetensors(out, tensors, metadata); });
}

void CheckpointWriter::tensors(const std::string& name, std::span<const NamedTensor> tensors,
                               std::span<const TensorPart> mine, const Metadata& metadata) {
  begin_file(name);
  std::uint64_t size = 0;
  FileDigest digest;
  together(
      [&] {
        auto [pieces, bytes] = share_safetensors(temporary_ / name, tensors, mine, metadata, crew_.leads());
        size = bytes;
        std::string text(pieces.size() * sizeof(FilePiece), '\0');
        std::memcpy(text.data(), pieces.data(), text.size());
        return text;
      },
      [&](const std::vector<std::string>& all) {
        std::vector<FilePiece> pieces;
        for (const std::string& text : all) {
          const std::size_t before = pieces.size();
          pieces.resize(before + text.size() / sizeof(FilePiece));
          std::memcpy(pieces.data() + before, text.data(), text.size());
        }
        digest = digest_of(std::move(pieces), size, temporary_ / name);
      });
  files_.emplace(name, std::move(digest));
  failed_ = false;
}

void CheckpointWriter::text(const std::string& name, std::string_view content) {
  file(name, [&](FileWriter& out) { out.write(content); });
}

void CheckpointWriter::bytes(const std::string& name, std::span<const std::byte> content) {
  file(name, [&](FileWriter& out) { out.write(content.data(), content.size()); });
}

fs::path CheckpointWriter::commit() {
  RT_CHECK(!committed_ && !failed_, "{}: commit() after commit() or after an error", final_.string());
  RT_CHECK(!files_.empty(), "{}: a checkpoint without files", final_.string());
  failed_ = true;
  lead([&] {
    FileWriter manifest(temporary_ / kManifestName);
    manifest.write(to_text({step_, files_}));
    manifest.finish();
    sys::sync_directory(temporary_);
    rename_into_place();
  });
  committed_ = true;
  return final_;
}

void CheckpointWriter::rename_into_place() {
  bool replaced = false;
  if (!fs::exists(final_)) {
    sys::rename(temporary_, final_);
  } else if (sys::exchange(temporary_, final_)) {
    replaced = true;
  } else {
    auto old = final_;
    old += kReplacedSuffix;
    if (fs::exists(old)) discard(root_, old);
    sys::rename(final_, old);
    sys::rename(temporary_, final_);
    sys::sync_directory(root_);
    discard(root_, old);
  }
  committed_ = true;
  sys::sync_directory(root_);
  if (replaced) sys::remove_tree(temporary_);
}

}  // namespace rt::io
