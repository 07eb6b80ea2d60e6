#include "rt/dist/store.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <thread>

#include "dist/socket.h"
#include "dist/store_wire.h"
#include "rt/core/error.h"

namespace rt::dist {
namespace {

constexpr Milliseconds kTryAgainAfter(100);

}  // namespace

struct Store::State {
  std::string address;
  Socket socket;
  Milliseconds answer{};
  std::mutex mutex;
  bool broken = false;

  // `wait`: how long the server may take on purpose.
  std::pair<wire::Answer, std::string> ask(wire::Op op, std::uint64_t number, std::string_view key,
                                           std::string_view value, Milliseconds wait = {}) {
    if (key.size() + value.size() > wire::kMostBytes / 2)
      fail(Exit::Failure, "store: {} bytes for {} are too many", value.size(), key);
    const std::lock_guard lock(mutex);
    const Deadline deadline = std::chrono::steady_clock::now() + wait + answer;
    std::uint32_t bytes = 0;
    std::string body;
    if (broken || !send_all(socket, wire::request(op, number, key, value), deadline) ||
        !receive_all(socket, &bytes, sizeof(bytes), deadline) || bytes < 1 || bytes > wire::kMostBytes) {
      refuse();
    }
    body.resize(bytes);
    if (!receive_all(socket, body.data(), bytes, deadline)) refuse();
    return {static_cast<wire::Answer>(body[0]), body.substr(1)};
  }

  [[noreturn]] void refuse() {
    broken = true;  // an answer may still come: it would be taken for that of another question
    fail(Exit::Peer,
         "the store at {} is gone: the process that serves it ended, or the network between is cut.",
         address);
  }
};

Store::Store(const std::string& host, int port, Milliseconds timeout, Milliseconds answer)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.answer = answer;
  s.address = format("{}:{}", host, port);
  const Deadline deadline = std::chrono::steady_clock::now() + timeout;
  std::string why = "nobody answers";
  for (;;) {
    s.socket = connect_to(host, port, deadline, why);
    if (s.socket) {
      char greeting[8];
      if (receive_all(s.socket, greeting, sizeof(greeting),
                      std::min(deadline, std::chrono::steady_clock::now() + Milliseconds(5000))) &&
          std::memcmp(greeting, wire::kGreeting, sizeof(greeting)) == 0) {
        return;
      }
      why = "something else listens there";
    }
    if (std::chrono::steady_clock::now() + kTryAgainAfter >= deadline) {
      fail(Exit::Peer,
           "waited {} s for the store at {}: {}. Check that the process of rank 0 is running, and that this "
           "machine can "
           "reach that address.",
           std::chrono::duration_cast<std::chrono::seconds>(timeout).count(), s.address, why);
    }
    std::this_thread::sleep_for(kTryAgainAfter);
  }
}

Store::~Store() = default;

const std::string& Store::address() const { return state_->address; }
std::string Store::local_address() const { return local_address_of(state_->socket); }

void Store::set(const std::string& key, std::string_view value) { state_->ask(wire::Op::Set, 0, key, value); }

bool Store::set_if_absent(const std::string& key, std::string_view value) {
  return state_->ask(wire::Op::SetIfAbsent, 0, key, value).first == wire::Answer::Yes;
}

std::optional<std::string> Store::get(const std::string& key, Milliseconds wait) {
  auto [answer, value] = state_->ask(wire::Op::Get, static_cast<std::uint64_t>(wait.count()), key, {}, wait);
  if (answer == wire::Answer::No) return std::nullopt;
  return std::move(value);
}

std::int64_t Store::add(const std::string& key, std::int64_t delta) {
  const std::string text = state_->ask(wire::Op::Add, static_cast<std::uint64_t>(delta), key, {}).second;
  return std::stoll(text);
}

void Store::set_will(const std::string& key, std::string_view value) {
  state_->ask(wire::Op::Will, 0, key, value);
}

std::map<std::string, std::string> Store::list(const std::string& prefix) {
  const std::string text = state_->ask(wire::Op::List, 0, prefix, {}).second;
  std::string_view rest = text;
  std::map<std::string, std::string> found;
  for (std::string key, value; wire::take_text(rest, key) && wire::take_text(rest, value);)
    found.emplace(key, value);
  return found;
}

}  // namespace rt::dist
