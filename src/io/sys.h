#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>

// The system calls that change the disk, each passing through the fault hook of rt/io/testing.h. All throw
// rt::Error (Exit::Checkpoint), one line with the path, unless said otherwise.
namespace rt::io::sys {

namespace fs = std::filesystem;

[[noreturn]] void fail_errno(const fs::path& path, const char* what, int error);

int open_for_write(const fs::path& path);  // created, or truncated
int open_to_share(const fs::path& path);   // created, or as it is: others write to it, too
void write_all(int fd, const fs::path& path, const void* data, std::size_t bytes);
// The same file for writes of whole pages past the page cache; -1 where that cannot be had.
int open_direct(const fs::path& path);
// For what was opened so and then refused with EINVAL: it goes through the page cache from now on. False: it
// did already.
bool leave_direct(int fd);
void write_at(int fd, const fs::path& path, const void* data, std::size_t bytes, std::uint64_t offset);
void sync(int fd, const fs::path& path);
void close(int fd, const fs::path& path);
void sync_directory(const fs::path& path);
void rename(const fs::path& from, const fs::path& to);
// Swaps two names at once; false where the file system cannot.
bool exchange(const fs::path& a, const fs::path& b);
void make_directory(const fs::path& path);  // parent exists; already there is fine
void remove_tree(const fs::path& path);     // not there is fine

}  // namespace rt::io::sys
