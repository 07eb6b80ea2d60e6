#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <list>
#include <thread>
#include <vector>

#include "dist/socket.h"
#include "dist/store_wire.h"
#include "rt/core/error.h"
#include "rt/core/thread_signals.h"
#include "rt/dist/store.h"

namespace rt::dist {
namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
  Socket socket;
  std::string in, out;
  // A Get that waits: nothing more is read of its connection until it is answered.
  std::optional<std::string> waits_for;
  Clock::time_point until;
  std::optional<std::pair<std::string, std::string>> will;
  bool gone = false;
};

}  // namespace

struct StoreServer::State {
  Socket listening;
  std::array<int, 2> wake{-1, -1};  // a pipe; closing its far end ends the thread
  std::map<std::string, std::string> values;
  std::list<Connection> connections;
  std::thread thread;

  void serve() {
    leave_signals_to_others();
    while (wait_and_handle()) {}
  }

  // False: to end.
  bool wait_and_handle() {
    std::vector<pollfd> fds{{wake[0], POLLIN, 0}, {listening.fd(), POLLIN, 0}};
    auto next = Clock::time_point::max();
    for (const Connection& c : connections) {
      const bool reads = !c.waits_for && c.out.size() < wire::kMostBytes;
      fds.push_back({c.socket.fd(),
                     static_cast<short>((reads ? POLLIN : POLLRDHUP) | (c.out.empty() ? 0 : POLLOUT)), 0});
      if (c.waits_for) next = std::min(next, c.until);
    }
    int wait = -1;
    if (next != Clock::time_point::max()) {
      const auto left = std::chrono::duration_cast<Milliseconds>(next - Clock::now()).count() + 1;
      wait = static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000));
    }
    if (::poll(fds.data(), fds.size(), wait) < 0 && errno != EINTR) return false;
    if (fds[0].revents != 0) return false;
    std::size_t i = 2;
    for (Connection& c : connections) handle(c, fds[i++].revents);
    if (fds[1].revents != 0) accept_all();
    for (Connection& c : connections) {
      if (c.waits_for && Clock::now() >= c.until) answer(c, wire::Answer::No, {});
    }
    for (Connection& c : connections) take_requests(c);  // behind one that was answered just now
    bury();
    return true;
  }

  // Connections that ended. A will is left undone while another connection has the same one: somebody
  // connected anew. Doing it answers those that wait for it, and one of these may turn out gone too.
  void bury() {
    for (auto c = connections.begin(); c != connections.end();) {
      if (!c->gone) {
        ++c;
        continue;
      }
      const auto will = std::move(c->will);
      connections.erase(c);
      const auto same = [&](const Connection& other) { return other.will == will; };
      if (will && !values.contains(will->first) && std::none_of(connections.begin(), connections.end(), same))
        change(will->first, will->second);
      c = connections.begin();
    }
  }

  void accept_all() {
    for (;;) {
      Socket socket(::accept4(listening.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket) return;
      keep_alive(socket);
      Connection& c = connections.emplace_back();
      c.socket = std::move(socket);
      c.out.assign(wire::kGreeting, 8);
      flush(c);
    }
  }

  void handle(Connection& c, short events) {
    if (events & (POLLERR | POLLNVAL | POLLRDHUP)) c.gone = true;
    if (!c.gone && events & (POLLIN | POLLHUP)) read(c);
    if (!c.gone && events & POLLOUT) flush(c);
  }

  void read(Connection& c) {
    std::array<char, 65536> bytes;
    for (;;) {
      const ssize_t n = ::recv(c.socket.fd(), bytes.data(), bytes.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
      if (n <= 0) {
        c.gone = true;
        return;
      }
      c.in.append(bytes.data(), static_cast<std::size_t>(n));
    }
    take_requests(c);
  }

  void take_requests(Connection& c) {
    while (!c.gone && !c.waits_for) {
      std::string_view rest = c.in;
      std::uint32_t bytes = 0, key_bytes = 0;
      if (!wire::take(rest, bytes)) return;
      if (bytes > wire::kMostBytes) {  // nobody of ours
        c.gone = true;
        return;
      }
      if (rest.size() < bytes) return;
      rest = rest.substr(0, bytes);
      wire::Op op{};
      std::uint64_t number = 0;
      if (!wire::take(rest, op) || !wire::take(rest, number) || !wire::take(rest, key_bytes) ||
          rest.size() < key_bytes) {
        c.gone = true;
        return;
      }
      const std::string key(rest.substr(0, key_bytes)), value(rest.substr(key_bytes));
      c.in.erase(0, sizeof(bytes) + bytes);
      execute(c, op, number, key, value);
    }
  }

  void execute(Connection& c, wire::Op op, std::uint64_t number, const std::string& key,
               const std::string& value) {
    switch (op) {
      case wire::Op::Set: change(key, value); return answer(c, wire::Answer::Yes, {});
      case wire::Op::SetIfAbsent: {
        const bool absent = !values.contains(key);
        if (absent) change(key, value);
        return answer(c, absent ? wire::Answer::Yes : wire::Answer::No, {});
      }
      case wire::Op::Get: {
        if (const auto found = values.find(key); found != values.end())
          return answer(c, wire::Answer::Yes, found->second);
        if (number == 0) return answer(c, wire::Answer::No, {});
        c.waits_for = key;
        c.until = Clock::now() + Milliseconds(std::min<std::uint64_t>(number, std::uint64_t{1} << 40));
        return;
      }
      case wire::Op::Add: {
        std::int64_t sum = 0;
        if (const auto found = values.find(key); found != values.end())
          std::from_chars(found->second.data(), found->second.data() + found->second.size(), sum);
        sum += static_cast<std::int64_t>(number);
        change(key, std::to_string(sum));
        return answer(c, wire::Answer::Yes, values[key]);
      }
      case wire::Op::List: {
        std::string all;
        for (auto at = values.lower_bound(key); at != values.end() && at->first.starts_with(key); ++at) {
          wire::put_text(all, at->first);
          wire::put_text(all, at->second);
        }
        return answer(c, wire::Answer::Yes, all);
      }
      case wire::Op::Will: {
        c.will.reset();
        if (!key.empty()) c.will.emplace(key, value);
        return answer(c, wire::Answer::Yes, {});
      }
    }
    c.gone = true;
  }

  void change(const std::string& key, const std::string& value) {
    values[key] = value;
    for (Connection& c : connections) {
      if (c.waits_for != key) continue;
      answer(c, wire::Answer::Yes, value);
    }
  }

  void answer(Connection& c, wire::Answer kind, std::string_view value) {
    c.waits_for.reset();
    c.out += wire::answer(kind, value);
    flush(c);
  }

  void flush(Connection& c) {
    while (!c.out.empty()) {
      const ssize_t n = ::send(c.socket.fd(), c.out.data(), c.out.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (n <= 0) {
        c.gone = true;
        return;
      }
      c.out.erase(0, static_cast<std::size_t>(n));
    }
  }
};

StoreServer::StoreServer(int port) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.listening = listen_at(port);
  if (::pipe2(s.wake.data(), O_CLOEXEC) != 0) fail(Exit::Peer, "store: {}", std::strerror(errno));
  s.thread = std::thread([&s] { s.serve(); });
}

StoreServer::~StoreServer() {
  ::close(state_->wake[1]);
  state_->thread.join();
  ::close(state_->wake[0]);
}

int StoreServer::port() const { return port_of(state_->listening); }

}  // namespace rt::dist
