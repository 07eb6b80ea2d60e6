#include "dist/watch_words.h"

#include "dist/store_wire.h"

namespace rt::dist {
namespace {

[[noreturn]] void damaged() { fail(Exit::Peer, "store: a process reported in damaged words"); }

}  // namespace

std::string to_text(const Report& r) {
  std::string out;
  for (const std::string* text : {&r.place, &r.op, &r.phase}) wire::put_text(out, *text);
  for (const std::uint64_t n : {r.beats, r.begun, r.waits_in}) wire::put(out, n);
  for (const std::int64_t n : {r.phase_ms, r.idle_ms, r.limit_ms, r.step}) wire::put(out, n);
  return out;
}

Report report_from(std::string_view text) {
  Report r;
  bool whole = true;
  for (std::string* into : {&r.place, &r.op, &r.phase}) whole = whole && wire::take_text(text, *into);
  for (std::uint64_t* into : {&r.beats, &r.begun, &r.waits_in}) whole = whole && wire::take(text, *into);
  for (std::int64_t* into : {&r.phase_ms, &r.idle_ms, &r.limit_ms, &r.step})
    whole = whole && wire::take(text, *into);
  if (!whole) damaged();
  return r;
}

std::string to_text(const Failure& f) {
  std::string out;
  for (const std::string* text : {&f.place, &f.what}) wire::put_text(out, *text);
  wire::put(out, static_cast<std::int32_t>(f.rank));
  wire::put(out, static_cast<std::int32_t>(f.code));
  wire::put(out, f.step);
  wire::put(out, static_cast<std::uint8_t>(f.hang));
  return out;
}

Failure failure_from(std::string_view text) {
  Failure f;
  std::int32_t rank = 0, code = 0;
  std::uint8_t hang = 0;
  if (!wire::take_text(text, f.place) || !wire::take_text(text, f.what) || !wire::take(text, rank) ||
      !wire::take(text, code) || !wire::take(text, f.step) || !wire::take(text, hang)) {
    damaged();
  }
  f.rank = rank;
  f.code = static_cast<Exit>(code);
  f.hang = hang != 0;
  return f;
}

std::string sentence(std::string_view text) {
  return std::string(text) + (text.empty() || text.back() != '.' ? "." : "");
}

std::string describe(const Failure& f) {
  if (f.hang) return sentence(f.what);  // it names another than the rank that noticed
  return sentence(format("rank {} ({}): {}", f.rank, f.place, f.what));
}

Reports reports_from(const std::map<std::string, std::string>& listed) {
  Reports reports;
  for (const auto& [key, value] : listed)
    reports[std::stoi(key.substr(std::string_view(kBeats).size()))] = report_from(value);
  return reports;
}

}  // namespace rt::dist
