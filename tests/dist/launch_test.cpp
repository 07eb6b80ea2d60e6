#include "rt/dist/launch.h"

#include <gtest/gtest.h>

#include <map>

#include "rt/core/error.h"

namespace rt::dist {
namespace {

using Names = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

Environment of(const Variables& variables) {
  return [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end() || found->second.empty()) return std::nullopt;
    return found->second;
  };
}

std::string why_not(const Variables& variables, const LaunchOptions& given = {}) {
  try {
    const Launch launch = detect_launch(of(variables), given);
    ADD_FAILURE() << "accepted: rank " << launch.rank << " of " << launch.world << " by " << launch.source;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::Config);
    return e.what();
  }
  return "";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(Launch, NothingSaidIsAlone) {
  EXPECT_EQ(detect_launch(of({})), (Launch{0, 1, 0, 1, "alone", "", 0}));
  EXPECT_EQ(detect_launch(of({{"RANK", ""}, {"WORLD_SIZE", ""}})).source, "alone");
  LaunchOptions alone;
  alone.world = 1;
  EXPECT_EQ(detect_launch(of({}), alone).world, 1);
}

TEST(Launch, Torchrun) {
  const Variables agent = {{"RANK", "5"},        {"WORLD_SIZE", "16"},
                           {"LOCAL_RANK", "1"},  {"LOCAL_WORLD_SIZE", "4"},
                           {"MASTER_ADDR", "n"}, {"MASTER_PORT", "29500"}};
  EXPECT_EQ(detect_launch(of(agent)), (Launch{5, 16, 1, 4, "torchrun", "n", 29501}));
  // Kubeflow says nothing of the machine.
  const Variables kubeflow = {
      {"RANK", "3"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "job-master-0"}, {"MASTER_PORT", "23456"}};
  EXPECT_EQ(detect_launch(of(kubeflow)), (Launch{3, 4, 0, 1, "torchrun", "job-master-0", 23457}));
}

// Started by our own supervisor, inside whatever it was started in.
TEST(Launch, Supervised) {
  Variables ours = {{"RT_RANK", "1"},       {"RT_WORLD_SIZE", "3"},
                    {"RT_LOCAL_RANK", "2"}, {"RT_LOCAL_WORLD_SIZE", "4"},
                    {"RANK", "0"},          {"WORLD_SIZE", "1"},
                    {"SLURM_JOB_ID", "7"},  {"SLURM_NTASKS", "16"},
                    {"MASTER_PORT", "1"},   {"RT_STORE", "127.0.0.1:555"}};
  EXPECT_EQ(detect_launch(of(ours)), (Launch{1, 3, 2, 4, "rwkv-train --nproc", "127.0.0.1", 555, true}));
  ours["RT_WORLD_SIZE"] = "1";
  expect_contains(why_not(ours), "rank 1 of a world of 1");
  ours["RT_RANK"] = "0";  // one process is watched over, too
  EXPECT_EQ(detect_launch(of(ours)).port, 555);
  ours.erase("RT_STORE");
  expect_contains(why_not(ours), "RT_STORE: \"\" is not host:port");
}

TEST(Launch, OpenMpi) {
  Variables here = {{"OMPI_COMM_WORLD_RANK", "2"},
                    {"OMPI_COMM_WORLD_SIZE", "4"},
                    {"OMPI_COMM_WORLD_LOCAL_RANK", "2"},
                    {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                    {"PMIX_NAMESPACE", "1234"}};
  const Launch local = detect_launch(of(here));
  EXPECT_EQ(local.host, "127.0.0.1");
  EXPECT_GE(local.port, 20000);
  EXPECT_LT(local.port, 40000);
  EXPECT_EQ(local.source, "Open MPI");
  Variables other = here;
  other["OMPI_COMM_WORLD_RANK"] = other["OMPI_COMM_WORLD_LOCAL_RANK"] = "3";
  EXPECT_EQ(detect_launch(of(other)).port, local.port);
  other["PMIX_NAMESPACE"] = "1235";
  EXPECT_NE(detect_launch(of(other)).port, local.port);
  // On several machines it does not say where rank 0 is; a list of Slurm's does, and so may the user.
  here["OMPI_COMM_WORLD_LOCAL_SIZE"] = "3";
  expect_contains(why_not(here), "nothing says where they meet. Set dist.rendezvous");
  LaunchOptions given;
  given.rendezvous = "node7:4000";
  EXPECT_EQ(detect_launch(of(here), given), (Launch{2, 4, 2, 3, "Open MPI", "node7", 4000}));
  here["SLURM_JOB_NODELIST"] = "gpu[3-4]";
  EXPECT_EQ(detect_launch(of(here)).host, "gpu3");
}

TEST(Launch, HydraAndSlurmsOwnPmi) {
  const Variables hydra = {{"PMI_RANK", "1"},        {"PMI_SIZE", "2"},      {"MPI_LOCALRANKID", "1"},
                           {"MPI_LOCALNRANKS", "2"}, {"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "0"},
                           {"SLURM_NTASKS", "1"},    {"SLURM_JOB_ID", "9"},  {"SLURM_STEP_NODELIST", "n1"}};
  const Launch launch = detect_launch(of(hydra));
  EXPECT_EQ(launch.source, "PMI");
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.host, "n1");
  const Variables pmi2 = {{"PMI_RANK", "3"},
                          {"PMI_SIZE", "4"},
                          {"SLURM_STEP_ID", "0"},
                          {"SLURM_PROCID", "3"},
                          {"SLURM_NTASKS", "4"},
                          {"SLURM_LOCALID", "1"},
                          {"SLURM_NODEID", "1"},
                          {"SLURM_JOB_ID", "100"},
                          {"SLURM_STEP_NODELIST", "n[08-09]"},
                          {"SLURM_STEP_TASKS_PER_NODE", "2(x2)"}};
  const Launch slurm = detect_launch(of(pmi2));
  EXPECT_EQ(slurm.source, "Slurm");
  EXPECT_EQ(slurm.rank, 3);
  EXPECT_EQ(slurm.local_rank, 1);
  EXPECT_EQ(slurm.local_world, 2);
  EXPECT_EQ(slurm.host, "n08");
}

// The job has room for 16 tasks, this step has 3 of them.
TEST(Launch, SlurmStepOfPartOfAJob) {
  const Variables step = {{"SLURM_STEP_ID", "2"},
                          {"SLURM_PROCID", "2"},
                          {"SLURM_NTASKS", "16"},
                          {"SLURM_STEP_NUM_TASKS", "3"},
                          {"SLURM_LOCALID", "0"},
                          {"SLURM_NODEID", "1"},
                          {"SLURM_JOB_ID", "7"},
                          {"SLURM_STEP_NODELIST", "a1,b2"},
                          {"SLURM_STEP_TASKS_PER_NODE", "2,1"},
                          {"SLURM_JOB_NODELIST", "z9"},
                          {"SLURM_LAUNCH_NODE_IPADDR", "10.0.0.1"}};
  const Launch launch = detect_launch(of(step));
  EXPECT_EQ(launch.rank, 2);
  EXPECT_EQ(launch.world, 3);
  EXPECT_EQ(launch.local_world, 1);
  EXPECT_EQ(launch.host, "a1");
}

TEST(Launch, NeverASilentWorldOfOne) {
  const Variables batch = {{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "16"}, {"SLURM_PROCID", "0"}};
  expect_contains(why_not(batch), "this process sees world size 1 but SLURM_NTASKS=16: start it with srun");
  LaunchOptions alone;
  alone.world = 1;
  EXPECT_EQ(detect_launch(of(batch), alone).source, "alone");
  EXPECT_EQ(detect_launch(of({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "1"}})).world, 1);
  LaunchOptions four;
  four.world = 4;
  expect_contains(why_not({}, four), "dist.world is 4, but nothing says which of these this process is");
  expect_contains(why_not({{"JOB_COMPLETION_INDEX", "0"}}), "not of how many. Set dist.world");
  expect_contains(why_not({{"PMIX_RANK", "0"}}), "not of how many. Set dist.world");
  four.rendezvous = "job-0.svc:5000";
  EXPECT_EQ(detect_launch(of({{"JOB_COMPLETION_INDEX", "3"}}), four),
            (Launch{3, 4, 0, 1, "Kubernetes", "job-0.svc", 5000}));
  LaunchOptions meeting;
  meeting.rendezvous = "job-0.svc:5000";
  EXPECT_EQ(detect_launch(of({{"JOB_COMPLETION_INDEX", "3"}, {"WORLD_SIZE", "4"}}), meeting),
            (Launch{3, 4, 0, 1, "Kubernetes", "job-0.svc", 5000}));
}

TEST(Launch, TheUserComesFirst) {
  LaunchOptions given;
  given.rank = 1;
  given.world = 2;
  given.rendezvous = "[::1]:777";
  EXPECT_EQ(detect_launch(of({{"RANK", "0"}, {"WORLD_SIZE", "8"}}), given),
            (Launch{1, 2, 0, 1, "dist", "::1", 777}));
  given.local_rank = 1;
  EXPECT_EQ(detect_launch(of({}), given).local_world, 2);
  given.world.reset();
  expect_contains(why_not({}, given), "dist.rank is set without dist.world");
}

TEST(Launch, WhatContradictsItselfIsRefused) {
  expect_contains(why_not({{"RANK", "2"}}), "RANK is set but WORLD_SIZE is not");
  expect_contains(why_not({{"WORLD_SIZE", "2"}}), "WORLD_SIZE is set but RANK is not");
  expect_contains(why_not({{"RANK", "2"}, {"WORLD_SIZE", "2"}}),
                  "rank 2 of a world of 2 (from torchrun): ranks go from 0 to 1");
  expect_contains(why_not({{"RANK", "x"}, {"WORLD_SIZE", "2"}}), "RANK=\"x\" is not a number from 0");
  expect_contains(
      why_not({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "n"}, {"MASTER_PORT", "65535"}}),
      "MASTER_PORT=\"65535\" is not a number from 1 to 65534");
  expect_contains(why_not({{"RANK", "1"}, {"WORLD_SIZE", "2"}}), "nothing says where they meet");
  expect_contains(why_not({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "4"}}),
                  "local rank 4 of 5 in a world of 2");
  LaunchOptions given;
  given.world = 3;
  expect_contains(why_not({{"RANK", "1"}, {"WORLD_SIZE", "2"}}, given),
                  "dist.world is 3, but torchrun started 2 processes");
  given = {};
  for (const char* wrong : {"node", "node:", ":1", "node:0", "node:65536", "node:1x", "fe80::1:5", "[]:5"}) {
    given.rendezvous = wrong;
    expect_contains(why_not({{"RANK", "1"}, {"WORLD_SIZE", "2"}}, given), "is not host:port");
  }
}

TEST(Nodelist, Expands) {
  EXPECT_EQ(expand_nodelist("node07"), (Names{"node07"}));
  EXPECT_EQ(expand_nodelist("n[1-3,07],gpu-a[00-01]-x"),
            (Names{"n1", "n2", "n3", "n07", "gpu-a00-x", "gpu-a01-x"}));
  EXPECT_EQ(expand_nodelist("r[1-2]c[08-10]"), (Names{"r1c08", "r1c09", "r1c10", "r2c08", "r2c09", "r2c10"}));
  EXPECT_EQ(expand_nodelist("n[9-11]"), (Names{"n9", "n10", "n11"}));
  EXPECT_EQ(expand_nodelist("n[098-101]").back(), "n101");
  EXPECT_EQ(expand_nodelist("a.b-c_d,e"), (Names{"a.b-c_d", "e"}));
  for (const char* wrong :
       {"", "n[", "n[]", "n[1", "n[1-]", "n[3-1]", "n[a-b]", "n]", ",n", "n,", "n,,m", "n[1;2]",
        "n[1-99999999999999999999]", "n[0-99999999]", "n[0-999]a[0-999]b[0-999]"}) {
    EXPECT_THROW(expand_nodelist(wrong), Error) << wrong;
  }
}

TEST(Nodelist, TasksPerNode) {
  EXPECT_EQ(expand_tasks_per_node("4"), (std::vector<int>{4}));
  EXPECT_EQ(expand_tasks_per_node("2(x3),1"), (std::vector<int>{2, 2, 2, 1}));
  for (const char* wrong : {"", "0", "2(", "2(x", "2(x3", "2(x0)", "2,", "a", "-1"})
    EXPECT_THROW(expand_tasks_per_node(wrong), Error) << wrong;
}

}  // namespace
}  // namespace rt::dist
