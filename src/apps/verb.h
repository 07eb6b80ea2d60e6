#pragma once

namespace rt {

// One verb of `rwkv`. argv[0] is the verb's name. Returns the exit status, or throws rt::Error, whose code()
// is the status and whose text is printed as one line.
struct Verb {
  const char* name;
  const char* help;
  int (*run)(int argc, char** argv);
};

int check_main(int argc, char** argv);
int data_main(int argc, char** argv);
int generate_main(int argc, char** argv);
int eval_main(int argc, char** argv);
int inspect_main(int argc, char** argv);
int bench_main(int argc, char** argv);
int verify_main(int argc, char** argv);
int doctor_main(int argc, char** argv);

}  // namespace rt
