#ifdef RT_WITH_GLOO
#include "dist/gloo_mesh.h"

#include <gloo/transport/tcp/device.h>

#include <csignal>

#include "rt/core/error.h"
#include "rt/core/thread_signals.h"

namespace rt::dist {
namespace {

class GlooStore final : public gloo::rendezvous::Store {
 public:
  GlooStore(dist::Store& store, const GlooOptions& options) : store_(store), options_(options) {}
  void set(const std::string& key, const std::vector<char>& data) override {
    store_.set(options_.prefix + "/" + key, {data.data(), data.size()});
  }
  std::vector<char> get(const std::string& key) override {
    const auto value = store_.get(options_.prefix + "/" + key, options_.connect);
    if (!value) fail(Exit::Peer, "{} did not come", key);
    return {value->begin(), value->end()};
  }
  void wait(const std::vector<std::string>& keys) override { wait(keys, options_.connect); }
  void wait(const std::vector<std::string>& keys, const Milliseconds&) override {
    for (const std::string& key : keys) get(key);
  }

 private:
  dist::Store& store_;
  const GlooOptions& options_;
};

void expect(bool done) {
  if (!done) fail(Exit::Peer, "it was given up");
}

}  // namespace

std::string words_of(const std::exception& e) {
  std::string_view text = e.what();
  if (text.starts_with("[")) text.remove_prefix(std::min(text.size(), text.find("] ") + 2));
  return std::string(text.substr(0, text.find('\n')));
}

GlooMesh::GlooMesh(Store& store, int rank, int size, const GlooOptions& options)
    : rank_(rank), size_(size), context_(std::make_shared<gloo::rendezvous::Context>(rank, size)) {
  // Gloo writes to peers that may be gone: an error of the collective, not the end of this process.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    std::shared_ptr<gloo::transport::Device> device;
    starting_others([&] {
      device = gloo::transport::tcp::CreateDevice(gloo::transport::tcp::attr(store.local_address().c_str()));
    });
    GlooStore keys(store, options);
    context_->setTimeout(options.connect);
    context_->connectFullMesh(keys, device);
    context_->setTimeout(options.timeout);
  } catch (const std::exception& e) {
    fail(Exit::Peer,
         "rank {} cannot reach all {} processes: {}. Check that their machines can open TCP connections to "
         "each other.",
         rank, size, words_of(e));
  }
}

void GlooMesh::abort() noexcept {
  const std::lock_guard lock(mutex_);
  aborted_ = true;
  for (gloo::transport::UnboundBuffer* buffer : active_) {
    buffer->abortWaitRecv();
    buffer->abortWaitSend();
  }
}

GlooMesh::Transfer::Transfer(GlooMesh& mesh, void* data, std::size_t bytes)
    : mesh_(mesh), buffer_(mesh.context_->createUnboundBuffer(data, bytes)) {
  const std::lock_guard lock(mesh_.mutex_);
  expect(!mesh_.aborted_);
  mesh_.active_.push_back(buffer_.get());
}

GlooMesh::Transfer::~Transfer() {
  const std::lock_guard lock(mesh_.mutex_);
  std::erase(mesh_.active_, buffer_.get());
}

void GlooMesh::Transfer::send(int to, std::uint64_t slot, std::size_t offset, std::size_t bytes) {
  if (bytes == 0) return;
  buffer_->send(to, slot, offset, bytes);
  ++sent_;
}

void GlooMesh::Transfer::receive(int from, std::uint64_t slot, std::size_t offset, std::size_t bytes) {
  if (bytes == 0) return;
  buffer_->recv(from, slot, offset, bytes);
  ++received_;
}

void GlooMesh::Transfer::wait() {
  for (; received_ > 0; --received_) expect(buffer_->waitRecv());
  for (; sent_ > 0; --sent_) expect(buffer_->waitSend());
}

}  // namespace rt::dist
#endif
