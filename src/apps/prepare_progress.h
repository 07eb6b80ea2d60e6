#pragma once
#include <string>

#include "rt/data/prepare.h"

namespace rt {

// Shows how far a prepare is: on a terminal one line that is drawn again, elsewhere a plain line every ten
// seconds, so that a log stays short. To stderr.
class PrepareMeter {
 public:
  PrepareMeter();
  ~PrepareMeter();  // ends the line
  PrepareMeter(const PrepareMeter&) = delete;
  PrepareMeter& operator=(const PrepareMeter&) = delete;
  void show(const data::PrepareProgress& progress);
  void note(const std::string& line);  // on a line of its own

 private:
  const bool terminal_;
  const double begin_;
  double shown_;
  bool drawn_ = false;
};

// "1.2 GiB of 5.0 GiB, 310.5M tokens, 152 MB/s, 25s left", after so many seconds of this run. The rate is
// that of unpacked text.
std::string progress_line(const data::PrepareProgress& progress, double seconds);

}  // namespace rt
