// docker/k8s: what the manifests say is what the program reads, and what Kubernetes makes of its exit codes.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "rt/config/run_config.h"
#include "rt/core/error.h"
#include "rt/dist/launch.h"
#include "tests/support/toy_run.h"

namespace rt {
namespace {

namespace fs = std::filesystem;
using rt::testing::TempDir;
using Words = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

// The node at a path of keys with spaces between them. yaml-cpp's own error names no key.
YAML::Node at(const YAML::Node& from, const std::string& path) {
  YAML::Node here = from;
  std::istringstream keys(path);
  for (std::string key; keys >> key;) {
    if (!here.IsMap() || !here[key]) throw std::runtime_error("\"" + path + "\" is missing");
    here.reset(here[key]);
  }
  return here;
}
std::string text(const YAML::Node& from, const std::string& path) { return at(from, path).as<std::string>(); }
int number(const YAML::Node& from, const std::string& path) { return at(from, path).as<int>(); }

struct Manifest {
  explicit Manifest(const std::string& file)
      : documents(YAML::LoadAllFromFile(std::string(RT_SOURCE_DIR) + "/docker/k8s/" + file)) {
    if (has("JobSet")) {
      const YAML::Node set = of("JobSet"), jobs = at(set, "spec replicatedJobs");
      EXPECT_EQ(jobs.size(), 1u) << "the index within a Job would be no rank";
      EXPECT_EQ(number(jobs[0], "replicas"), 1) << "the index within a Job would be no rank";
      job.reset(at(jobs[0], "template spec"));
      subdomain = text(set, "spec network subdomain");
      first_pod = text(set, "metadata name") + "-" + text(jobs[0], "name") + "-0-0";
    } else {
      job.reset(at(of("Job"), "spec"));
      subdomain = text(job, "template spec subdomain");
      first_pod = text(of("Job"), "metadata name") + "-0";
    }
    pod.reset(at(job, "template spec"));
    container.reset(at(pod, "containers")[0]);
    args = at(container, "args").as<Words>();
  }

  bool has(const std::string& kind, const std::string& name = "") const {
    return find(kind, name) != nullptr;
  }
  YAML::Node of(const std::string& kind) const {
    const YAML::Node* found = find(kind, "");
    if (!found) throw std::runtime_error("no " + kind);
    return *found;
  }
  std::string config_text() const {
    return text(of("ConfigMap"), "data " + fs::path(args.at(0)).filename().string());
  }
  // Of the first argument's run, as the others change it.
  config::RunConfig config() const {
    Words overrides;
    for (std::size_t i = 1; i + 1 < args.size(); i += 2) {
      EXPECT_EQ(args[i], "--set");
      overrides.push_back(args[i + 1]);
    }
    return config::RunConfig::parse(config_text(), args.at(0), overrides);
  }
  // What a process sees: the container's, and what the Job's controller adds.
  Variables environment(int index) const {
    Variables all = {{"JOB_COMPLETION_INDEX", std::to_string(index)}};
    for (const YAML::Node& v : at(container, "env")) all[text(v, "name")] = text(v, "value");
    return all;
  }
  int world() const { return number(job, "completions"); }

  std::vector<YAML::Node> documents;
  YAML::Node job, pod, container;
  std::string subdomain, first_pod;
  Words args;

 private:
  const YAML::Node* find(const std::string& kind, const std::string& name) const {
    for (const YAML::Node& d : documents) {
      if (text(d, "kind") == kind && (name.empty() || text(d, "metadata name") == name)) return &d;
    }
    return nullptr;
  }
};

// What the Job's rules do when a container ends with `code`.
std::string action(const YAML::Node& job, int code) {
  for (const YAML::Node& rule : at(job, "podFailurePolicy rules")) {
    if (!rule["onExitCodes"]) continue;
    EXPECT_EQ(text(rule, "onExitCodes operator"), "In");
    EXPECT_EQ(text(rule, "onExitCodes containerName"), "train");
    const auto codes = at(rule, "onExitCodes values").as<std::vector<int>>();
    EXPECT_TRUE(std::is_sorted(codes.begin(), codes.end())) << "Kubernetes refuses them out of order";
    if (std::count(codes.begin(), codes.end(), code)) return text(rule, "action");
  }
  return "Count";
}

class Kubernetes : public ::testing::TestWithParam<const char*> {};
class KubernetesDist : public Kubernetes {};
std::string name_of(const ::testing::TestParamInfo<const char*>& test) {
  return fs::path(test.param).stem().string();
}
constexpr auto kManifests = {"job.yaml", "jobset.yaml"};
INSTANTIATE_TEST_SUITE_P(, Kubernetes, ::testing::ValuesIn(kManifests), name_of);
INSTANTIATE_TEST_SUITE_P(, KubernetesDist, ::testing::ValuesIn(kManifests), name_of);

TEST_P(Kubernetes, EveryPodFindsItsRankAndTheFirst) {
  const Manifest m(GetParam());
  EXPECT_EQ(text(m.job, "completionMode"), "Indexed");
  EXPECT_EQ(number(m.job, "parallelism"), m.world()) << "one that has not started is waited for in vain";
  EXPECT_GT(m.world(), 1);
  const config::RunConfig run = m.config();
  dist::LaunchOptions given;
  given.world = static_cast<int>(run.dist.world.value());
  given.rendezvous = run.dist.rendezvous.value();
  for (int index = 0; index < m.world(); ++index) {
    const Variables variables = m.environment(index);
    const auto environment = [&](const std::string& name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    const dist::Launch launch = dist::detect_launch(environment, given);
    EXPECT_EQ(launch.rank, index);
    EXPECT_EQ(launch.world, m.world());
    EXPECT_EQ(launch.source, "Kubernetes");
    EXPECT_EQ(launch.host, m.first_pod + "." + m.subdomain);
    EXPECT_EQ(launch.port, 29500);
  }
  EXPECT_EQ(run.sequences_per_step() % m.world(), 0) << "the config's batch cannot be shared out";
}

TEST_P(Kubernetes, NamesLeadToThePods) {
  const Manifest m(GetParam());
  const YAML::Node labels = at(m.job, "template metadata labels");
  if (m.has("JobSet")) {  // it makes the service
    EXPECT_TRUE(at(m.of("JobSet"), "spec network enableDNSHostnames").as<bool>());
    EXPECT_TRUE(at(m.of("JobSet"), "spec network publishNotReadyAddresses").as<bool>());
    EXPECT_FALSE(m.has("Service"));
    return;
  }
  const YAML::Node service = m.of("Service");
  EXPECT_EQ(text(service, "metadata name"), m.subdomain);
  EXPECT_EQ(text(service, "spec clusterIP"), "None");
  EXPECT_TRUE(at(service, "spec publishNotReadyAddresses").as<bool>());
  EXPECT_EQ(number(at(service, "spec ports")[0], "port"), 29500);
  for (const auto& wanted : at(service, "spec selector"))
    EXPECT_EQ(text(labels, wanted.first.as<std::string>()), wanted.second.as<std::string>());
}

TEST_P(Kubernetes, HopelessIsNotTriedAgainAndTheRestIs) {
  const Manifest m(GetParam());
  for (const Exit code : {Exit::Config, Exit::Data, Exit::Checkpoint, Exit::Memory, Exit::NonFinite})
    EXPECT_EQ(action(m.job, static_cast<int>(code)), "FailJob") << static_cast<int>(code);
  EXPECT_EQ(action(m.job, static_cast<int>(Exit::Interrupted)), "Ignore");
  EXPECT_EQ(action(m.job, static_cast<int>(Exit::Peer)), "Count");
  EXPECT_EQ(action(m.job, 137), "Count");
  EXPECT_EQ(text(m.pod, "restartPolicy"), "Never") << "rules on failed pods ask for it";
  EXPECT_EQ(text(m.job, "podReplacementPolicy"), "Failed");
  EXPECT_GE(number(m.pod, "terminationGracePeriodSeconds"), 60);
  if (!m.has("JobSet")) {
    EXPECT_GE(number(m.job, "backoffLimit"), m.world()) << "one lost peer ends that many pods";
    return;
  }
  EXPECT_EQ(number(m.job, "backoffLimit"), 0) << "the set starts all again, the Job would start one";
  const YAML::Node policy = at(m.of("JobSet"), "spec failurePolicy");
  EXPECT_GT(number(policy, "maxRestarts"), 0);
  EXPECT_EQ(at(policy, "rules").size(), 1u);
  EXPECT_EQ(text(at(policy, "rules")[0], "action"), "FailJobSet");
  EXPECT_EQ(at(at(policy, "rules")[0], "onJobFailureReasons").as<Words>(), Words{"PodFailurePolicy"});
}

TEST_P(Kubernetes, WhatIsMountedIsThere) {
  const Manifest m(GetParam());
  std::map<std::string, YAML::Node> volumes;
  for (const YAML::Node& v : at(m.pod, "volumes")) volumes[text(v, "name")].reset(v);
  std::map<std::string, std::string> places;  // by what is mounted
  for (const YAML::Node& mount : at(m.container, "volumeMounts")) {
    ASSERT_TRUE(volumes.count(text(mount, "name"))) << text(mount, "name");
    const YAML::Node volume = volumes[text(mount, "name")];
    const std::string place = text(mount, "mountPath");
    if (volume["configMap"]) {
      EXPECT_TRUE(m.has("ConfigMap", text(volume, "configMap name")));
      places["config"] = place;
    } else {
      EXPECT_TRUE(m.has("PersistentVolumeClaim", text(volume, "persistentVolumeClaim claimName")));
      places["runs"] = place;
    }
  }
  EXPECT_EQ(fs::path(m.args.at(0)).parent_path(), places["config"]);
  // The images' working directory (docker/*.Dockerfile) is /work.
  const fs::path run = fs::path("/work") / m.config().run.dir;
  EXPECT_EQ(run.parent_path(), places["runs"]) << "checkpoints would be lost with the pod";
  EXPECT_EQ(at(m.of("PersistentVolumeClaim"), "spec accessModes").as<Words>(), Words{"ReadWriteMany"});
}

TEST_P(Kubernetes, Details) {
  const Manifest m(GetParam());
  const std::string image = text(m.container, "image");
  const std::size_t colon = image.rfind(':');
  ASSERT_NE(colon, std::string::npos) << image << ": no version";
  EXPECT_NE(image.substr(colon), ":latest") << "pods that start later would have another";
  EXPECT_EQ(text(m.container, "name"), "train");
  EXPECT_TRUE(at(m.pod, "securityContext runAsNonRoot").as<bool>());
  EXPECT_EQ(m.environment(0).at("RT_NUM_THREADS"), text(m.container, "resources limits cpu"));
  for (const YAML::Node& d : m.documents) {
    EXPECT_FALSE(text(d, "apiVersion").empty());
    EXPECT_FALSE(text(d, "metadata name").empty());
  }
}

// The processes that the controller would start, with its variables and the manifest's arguments; only the
// name of the first pod is this machine's, and the run is short.
TEST_P(KubernetesDist, ThePodsTrain) {
#if !__has_include(<gloo/context.h>)
  GTEST_SKIP() << "built without Gloo: processes cannot reach each other";
#endif
  const Manifest m(GetParam());
  const TempDir temp("rt-k8s");
  Words args = m.args;
  args[0] = temp.path() / "run.yaml";
  std::ofstream(args[0]) << m.config_text();
  const std::string port = std::to_string(41000 + getpid() % 9000);
  for (std::string& arg : args)
    if (arg.find("dist.rendezvous=") == 0) arg = "dist.rendezvous=127.0.0.1:" + port;
  for (const char* more :
       {"budget.steps=2", "model.width=64", "data.seq_len=32", "batch.global_tokens=256",
        "data.train=[{stories: {tokens: 20k}}]", "data.valid=[]", "schedule.warmup=0steps"})
    args.insert(args.end(), {"--set", more});
  args.insert(args.end(), {"--set", "run.dir=" + (temp.path() / "run").string()});
  std::vector<pid_t> pods;
  for (int index = 0; index < m.world(); ++index) {
    pods.push_back(fork());
    if (pods.back() != 0) continue;
    for (const auto& [name, value] : m.environment(index)) setenv(name.c_str(), value.c_str(), 1);
    setenv("RT_NUM_THREADS", "1", 1);
    const std::string program = std::string(RT_BINARY_DIR) + "/bin/rwkv-train";
    std::vector<char*> argv = {const_cast<char*>(program.c_str())};
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    if (!freopen((temp.path() / ("log" + std::to_string(index))).c_str(), "w", stdout)) _exit(126);
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  for (const pid_t pod : pods) {
    int status = 0;
    waitpid(pod, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  const std::string log = testing::file_bytes(temp.path() / "log0");
  EXPECT_NE(log.find(std::to_string(m.world()) + " processes, from Kubernetes"), std::string::npos) << log;
  EXPECT_TRUE(fs::exists(temp.path() / "run/checkpoints/step-00000002")) << log;
}

}  // namespace
}  // namespace rt
