#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace rt::dist {

using Milliseconds = std::chrono::milliseconds;

// Keys and values in the memory of one process, served over TCP to those that train together: how they find
// each other, agree, and say what went wrong. It knows nothing of ranks, so that the failure of one changes
// nothing in it. For a trusted network: whoever can reach the port can read and write.
class StoreServer {
 public:
  // Listens at `port` on every address of this machine; 0: at a free one. Serves on a thread of its own.
  // Exit::Peer when it cannot.
  explicit StoreServer(int port);
  ~StoreServer();  // whoever waits is disconnected
  StoreServer(const StoreServer&) = delete;
  StoreServer& operator=(const StoreServer&) = delete;
  int port() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A connection to it. Calls of several threads take turns, a waiting one included: a thread that must not be
// held up has its own. Errors are Exit::Peer, one line with the address: the server is gone, or does not
// answer.
class Store {
 public:
  // Tries again until `timeout`, as the server may start later. `answer`: what the server has for each
  // answer, beyond what it is asked to wait.
  Store(const std::string& host, int port, Milliseconds timeout, Milliseconds answer = Milliseconds(30'000));
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  void set(const std::string& key, std::string_view value);
  bool set_if_absent(const std::string& key,
                     std::string_view value);  // false: there is one already, which stays
  std::optional<std::string> get(const std::string& key,
                                 Milliseconds wait = Milliseconds(0));  // empty: still absent
  std::int64_t add(const std::string& key, std::int64_t delta);  // the sum so far; a new key begins at 0
  std::map<std::string, std::string> list(const std::string& prefix);
  // What the server does by itself when this connection ends, be it that the process is killed:
  // set_if_absent(key, value), unless another connection has the same will. One at a time; an empty key takes
  // it back.
  void set_will(const std::string& key, std::string_view value);
  const std::string& address() const;  // "host:port"
  std::string local_address() const;   // this machine's, as seen from there: numbers

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rt::dist
