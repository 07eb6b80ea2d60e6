#include "dist/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "rt/core/error.h"

namespace rt::dist {
namespace {

int left_ms(Deadline deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count() + 1, 0, 1'000'000));
}

// Until the socket is ready or the deadline is reached.
bool wait_for(int fd, short events, Deadline deadline) {
  for (;;) {
    pollfd one{fd, events, 0};
    const int ready = ::poll(&one, 1, left_ms(deadline));
    if (ready > 0) return true;
    if (ready == 0 && std::chrono::steady_clock::now() >= deadline) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// Calls move(bytes done so far), which is send or recv, until n bytes are done.
template <class Move>
bool move_all(int fd, short events, std::size_t n, Deadline deadline, const Move& move) {
  for (std::size_t done = 0; done < n;) {
    const ssize_t now = move(done);
    if (now > 0) {
      done += static_cast<std::size_t>(now);
    } else if (now == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
      return false;
    } else if (errno != EINTR && !wait_for(fd, events, deadline)) {
      return false;
    }
  }
  return true;
}

void set_option(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof(value));
}

Socket try_listen(int family, int port) {
  Socket socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return socket;
  set_option(socket.fd(), SOL_SOCKET, SO_REUSEADDR, 1);
  sockaddr_in6 six{};
  sockaddr_in four{};
  const bool is_six = family == AF_INET6;
  if (is_six) {
    set_option(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(static_cast<std::uint16_t>(port));
    six.sin6_addr = in6addr_any;
  } else {
    four.sin_family = AF_INET;
    four.sin_port = htons(static_cast<std::uint16_t>(port));
    four.sin_addr.s_addr = htonl(INADDR_ANY);
  }
  const auto* address =
      is_six ? reinterpret_cast<const sockaddr*>(&six) : reinterpret_cast<const sockaddr*>(&four);
  if (::bind(socket.fd(), address, is_six ? sizeof(six) : sizeof(four)) != 0 ||
      ::listen(socket.fd(), 4096) != 0)
    return {};
  return socket;
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Socket listen_at(int port) {
  Socket socket = try_listen(AF_INET6, port);
  if (!socket) socket = try_listen(AF_INET, port);  // a machine without IPv6
  if (!socket) {
    fail(Exit::Peer,
         "port {}: cannot listen: {}. Set dist.rendezvous to a port that is free on the machine of rank 0.",
         port, std::strerror(errno));
  }
  return socket;
}

int port_of(const Socket& listening) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  ::getsockname(listening.fd(), reinterpret_cast<sockaddr*>(&address), &size);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

std::string local_address_of(const Socket& connected) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  std::array<char, NI_MAXHOST> host{};
  if (::getsockname(connected.fd(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host.data(), host.size(), nullptr, 0,
                    NI_NUMERICHOST) != 0) {
    fail(Exit::Peer, "a connection has no address: {}", std::strerror(errno));
  }
  const std::string_view text = host.data(), mapped = "::ffff:";
  return std::string(text.starts_with(mapped) ? text.substr(mapped.size()) : text);
}

Socket connect_to(const std::string& host, int port, Deadline deadline, std::string& why) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found)) {
    why = ::gai_strerror(error);
    return {};
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  for (const addrinfo* a = found; a; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) continue;
    int error = ::connect(socket.fd(), a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      error = ETIMEDOUT;
      if (wait_for(socket.fd(), POLLOUT, deadline)) {
        socklen_t size = sizeof(error);
        ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
      }
    }
    if (error == 0) {
      keep_alive(socket);
      return socket;
    }
    why = std::strerror(error);
  }
  return {};
}

bool send_all(const Socket& to, std::string_view bytes, Deadline deadline) {
  return move_all(to.fd(), POLLOUT, bytes.size(), deadline, [&](std::size_t done) {
    return ::send(to.fd(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
  });
}

bool receive_all(const Socket& from, void* bytes, std::size_t n, Deadline deadline) {
  return move_all(from.fd(), POLLIN, n, deadline, [&](std::size_t done) {
    return ::recv(from.fd(), static_cast<char*>(bytes) + done, n - done, 0);
  });
}

void keep_alive(const Socket& socket) {
  set_option(socket.fd(), IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket.fd(), SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_KEEPIDLE
  set_option(socket.fd(), IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set_option(socket.fd(), IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set_option(socket.fd(), IPPROTO_TCP, TCP_KEEPCNT, 4);
#endif
#ifdef TCP_USER_TIMEOUT
  // While something that was sent is not acknowledged nobody is asked for a sign of life: it would be 15
  // minutes.
  set_option(socket.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, 30'000);
#endif
}

}  // namespace rt::dist
