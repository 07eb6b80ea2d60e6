#pragma once

namespace rt {

// The verbs of `rwkv data`; argv[0] is the verb.
int data_prepare_main(int argc, char** argv);
int data_stories_main(int argc, char** argv);
int data_inspect_main(int argc, char** argv);
int data_verify_main(int argc, char** argv);
int data_encode_main(int argc, char** argv);
int data_decode_main(int argc, char** argv);

}  // namespace rt
