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

CheckpointWriter::CheckpointWriter(fs::path root, std::uint64_t step)
    : root_(std::move(root)),
      temporary_(root_ / (checkpoint_name(step) + kPartialSuffix)),
      final_(root_ / checkpoint_name(step)),
      step_(step) {
  ensure_directory(root_);
  empty_trash(root_);
  sys::remove_tree(temporary_);
  sys::make_directory(temporary_);
}

CheckpointWriter::~CheckpointWriter() {
  if (committed_) return;
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void CheckpointWriter::file(const std::string& name, const std::function<void(FileWriter&)>& produce) {
  RT_CHECK(!committed_ && !failed_, "{}: checkpoint written to after it was committed or had failed",
           final_.string());
  RT_CHECK(is_plain_basename(name) && name != kManifestName, "{}: {} cannot name a file of a checkpoint",
           final_.string(), shown(name));
  RT_CHECK(!files_.contains(name), "{}: {} is written twice", final_.string(), shown(name));
  failed_ = true;  // until it went well
  FileWriter out(temporary_ / name);
  produce(out);
  files_.emplace(name, out.finish());
  failed_ = false;
}

void CheckpointWriter::tensors(const std::string& name, std::span<const NamedTensor> tensors,
                               const Metadata& metadata) {
  file(name, [&](FileWriter& out) { write_safetensors(out, tensors, metadata); });
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
  FileWriter manifest(temporary_ / kManifestName);
  manifest.write(to_text({step_, files_}));
  manifest.finish();
  sys::sync_directory(temporary_);

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
  return final_;
}

}  // namespace rt::io
