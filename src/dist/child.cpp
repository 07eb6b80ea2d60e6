#include "dist/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "rt/core/error.h"

namespace rt::dist {
namespace {

constexpr std::size_t kLongestLine = 8192;

// argv or envp: what execve takes. The texts must outlive it.
std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

std::string name_of(std::string_view variable) {
  return std::string(variable.substr(0, variable.find('=') + 1));
}

std::vector<std::string> environment(const std::vector<std::string>& ours) {
  std::vector<std::string> all = ours;
  for (char** at = environ; *at; ++at) {
    const std::string name = name_of(*at);
    if (std::none_of(ours.begin(), ours.end(), [&](const std::string& v) { return name_of(v) == name; }))
      all.emplace_back(*at);
  }
  return all;
}

struct Pipe {
  Socket read, write;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail(Exit::Failure, "a pipe: {}", std::strerror(errno));
    read = Socket(ends[0]);
    write = Socket(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
};

// In the child: only what is safe after a fork of a process with threads. argv[0] is the program's path.
[[noreturn]] void become(char* const* argv, char* const* envp, pid_t parent, const sigset_t& mask, int out,
                         int err, int in) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(static_cast<int>(Exit::Peer));  // it died before this
  if (in >= 0) ::dup2(in, STDIN_FILENO);
  if (out >= 0) ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execve(argv[0], argv, envp);
  ::_exit(127);
}

bool is_notable(std::string_view line) {
  return line.find("] error: ") != std::string_view::npos ||
         line.find("] warning: ") != std::string_view::npos || line.starts_with("error: ");
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {  // a terminal or a pipe that somebody else set so
      pollfd one{fd, POLLOUT, 0};
      ::poll(&one, 1, 1000);
      continue;
    }
    if (n <= 0) return;  // closed: there is nobody to read it
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

Child start(const ChildPlan& plan, const sigset_t& mask) {
  Child child;
  child.rank = plan.rank;
  child.local_rank = plan.local_rank;
  std::vector<std::string> command = plan.command, variables = environment(plan.variables);
  const auto argv = pointers(command), envp = pointers(variables);
  const bool first = plan.rank == 0;  // it has the terminal, if there is one
  Pipe err;
  std::optional<Pipe> out;
  Socket nothing;
  if (!first) {
    out.emplace();
    nothing = Socket(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  const pid_t parent = ::getpid();
  child.pid = ::fork();
  if (child.pid < 0) fail(Exit::Failure, "cannot start a process: {}", std::strerror(errno));
  if (child.pid == 0)
    become(argv.data(), envp.data(), parent, mask, out ? out->write.fd() : -1, err.write.fd(), nothing.fd());
  ::setpgid(child.pid, child.pid);  // whoever comes first
  child.err = {std::move(err.read), STDERR_FILENO, true, {}};
  if (out) child.out = {std::move(out->read), STDOUT_FILENO, false, {}};
  return child;
}

void Forwarder::drain(Child& child) {
  drain(child, child.out);
  drain(child, child.err);
}

void Forwarder::drain(Child& child, ChildStream& stream) {
  std::array<char, 16384> bytes;
  while (stream.from) {
    const ssize_t n = ::read(stream.from.fd(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      stream.from = Socket();
      return;
    }
    stream.begun.append(bytes.data(), static_cast<std::size_t>(n));
    for (;;) {
      const std::size_t end = stream.begun.find('\n');
      if (end == std::string::npos && stream.begun.size() < kLongestLine) break;
      const std::size_t size = std::min(end, kLongestLine);
      pass(child, stream, stream.begun.substr(0, size));
      stream.begun.erase(0, size + (size == end ? 1 : 0));
    }
  }
}

void Forwarder::finish(Child& child) {
  drain(child);
  for (ChildStream* stream : {&child.out, &child.err}) {
    if (!stream->begun.empty()) pass(child, *stream, stream->begun);
    stream->begun.clear();
    stream->from = Socket();
  }
}

void Forwarder::pass(Child& child, ChildStream& stream, const std::string& line) {
  if (stream.to == STDERR_FILENO && !line.empty()) child.last_error = line;
  if (child.rank == 0) return write_all(stream.to, line + "\n");
  if (!stream.all && !is_notable(line)) return;
  if (std::find(passed_.begin(), passed_.end(), line) != passed_.end()) return;
  passed_.push_back(line);
  if (passed_.size() > kRemembered) passed_.pop_front();
  write_all(stream.to, format("[rank {}] {}\n", child.rank, line));
}

std::string how_it_ended(int status) {
  if (!WIFSIGNALED(status)) return format("ended with exit code {}", WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  const char* const name = ::sigabbrev_np(number);
  std::string text = name ? format("killed by SIG{}", name) : format("killed by signal {}", number);
  if (number == SIGKILL) text += " (as the kernel does when memory runs out: see dmesg)";
  return text;
}

}  // namespace rt::dist
