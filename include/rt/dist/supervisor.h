#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "rt/dist/store.h"

namespace rt::dist {

struct SupervisorOptions {
  int processes = 1;                           // on this machine, which are all of the run
  std::vector<std::string> command;            // of each; the first is the program's path
  std::vector<std::string> restart_arguments;  // added to it when it is started again
  int restarts = 3;                            // at most
  bool elastic = false;                        // go on without a process that failed to start twice
  // Before a restart; after each start that gained no step twice as long, up to a minute.
  Milliseconds back_off{1000};
  Milliseconds grace{3000};   // from a failure to the death of those that have not ended by themselves
  std::filesystem::path log;  // its lines are also added to this file, where there is one by then
};

// Starts the processes, serves the store by which they meet (RT_STORE; detect_launch() reads it and RT_RANK,
// RT_WORLD_SIZE, RT_LOCAL_RANK, RT_LOCAL_WORLD_SIZE), shares the machine's cores out (RT_NUM_THREADS, unless
// that is set), and waits for them. They die with the caller.
//
// SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 are passed on to all (one that comes again within half a second only
// once: terminals, timeout(1) and schedulers repeat themselves). Lines of rank 0 pass as they are; of the
// others, errors and warnings, with the rank before them, and each text once.
//
// When one fails, the cause is said in one line and published to the others, and those that have not ended
// within `grace` are killed. What may pass on a second try (a process killed, a hang, a lost peer:
// Exit::Peer; Exit::Failure, e.g. of a device) is tried again from the start of all, unless no step was done
// beyond those done at the failure before. What would fail again (configuration, data, checkpoint, memory,
// not finite) is not.
//
// Returns the exit code of the run: 0; 75 when some saved and stopped after a signal; else that of the first
// cause, where 76 stands for a process that was killed. One supervisor at a time, on the main thread.
int supervise(const SupervisorOptions& options);

}  // namespace rt::dist
