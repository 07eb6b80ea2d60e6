#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rt::dist {

// A file descriptor that is closed. -1: none.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket();
  Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Socket& operator=(Socket&& other) noexcept;
  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

using Deadline = std::chrono::steady_clock::time_point;

// Accepts IPv4 and IPv6; does not block. Exit::Peer.
Socket listen_at(int port);
int port_of(const Socket& listening);
std::string local_address_of(const Socket& connected);  // "10.0.0.7", "fd00::7"
// One attempt at each address of the host; none: `why` says what the last one said.
Socket connect_to(const std::string& host, int port, Deadline deadline, std::string& why);
// All of it, or false: at the deadline, or when the other side is gone.
bool send_all(const Socket& to, std::string_view bytes, Deadline deadline);
bool receive_all(const Socket& from, void* bytes, std::size_t n, Deadline deadline);
void keep_alive(const Socket& socket);  // a machine that vanishes is noticed within half a minute; small
                                        // messages go at once

}  // namespace rt::dist
