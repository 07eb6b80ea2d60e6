#!/usr/bin/env bash
# bash scripts/lint_docker.sh [--no-install] [--tree DIR] [PROGRAM...]   looks over docker/: the Dockerfiles, the Slurm
# scripts and the shell around them. (The manifests for Kubernetes: tests/docker/k8s_test.cpp.) With programs built on
# Debian 12, also that cpu.Dockerfile installs the libraries they are linked with. shellcheck is installed where it is
# missing; with --no-install the exit code is then 77, after all other checks. hadolint is used where it is.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

install=1 tree=$root
while [ $# != 0 ]; do
  case $1 in
    --no-install) install='' && shift ;;
    --tree) tree=${2:?} && shift 2 ;;
    -*) die "usage: bash scripts/lint_docker.sh [--no-install] [--tree DIR] [PROGRAM...]" ;;
    *) break ;;
  esac
done
faults=0
fault() {
  faults=$((faults + 1))
  say "$*"
}

# A Dockerfile with one instruction a line: comments gone, continued lines joined.
instructions() { sed -e '/^[[:space:]]*#/d' -e '/^[[:space:]]*$/d' "$1" | sed -e ':again' -e '/\\$/{N;s/\\\n//;b again' -e '}'; }

dockerfile() {
  local name=docker/${1##*/} line word rest stage image user='' entry='' place=''
  local -a stages=() words
  [ -e "$1.dockerignore" ] || fault "$name: no ${1##*/}.dockerignore beside it: build directories would be sent along"
  while IFS= read -r line; do
    word=${line%% *} rest=${line#* }
    read -r -a words <<<"$rest"
    case $word in
      FROM)
        image=${words[0]} stage=${words[2]:-last}
        case $image in
          *:latest) fault "$name: $image: name the version" ;;
          *:*) ;;
          *) [[ " ${stages[*]} " == *" $image "* ]] || fault "$name: $image: name the version" ;;
        esac
        stages+=("$stage")
        user='' entry='' place=''
        ;;
      ADD) fault "$name: ADD fetches and unpacks; use COPY: $rest" ;;
      COPY)
        if [[ $rest == --from=* ]]; then
          stage=${words[0]#--from=}
          [[ " ${stages[*]} " == *" $stage "* ]] || fault "$name: COPY --from=$stage: no such stage"
        else
          for word in "${words[@]:0:${#words[@]}-1}"; do
            [ -e "$tree/$word" ] || fault "$name: COPY $word: not in the tree"
          done
        fi
        ;;
      RUN)
        if [[ $rest =~ (^|[^-[:alnum:]])(curl|wget|git\ clone|pip|pip3|npm)[[:space:]] ]]; then
          fault "$name: ${BASH_REMATCH[2]}: nothing is downloaded but packages"
        fi
        if [[ $rest == *"apt-get install"* ]]; then
          [[ $rest == *"apt-get update"*"apt-get install"* ]] || fault "$name: apt-get install without update before it in its layer"
          [[ $rest == *"apt-get install -y --no-install-recommends"* ]] || fault "$name: apt-get install without -y --no-install-recommends"
          [[ $rest == *"rm -rf /var/lib/apt/lists/*"* ]] || fault "$name: the package lists stay in the layer"
        fi
        ;;
      USER) user=${words[0]} ;;
      WORKDIR) place=${words[0]} ;;
      ENTRYPOINT | CMD)
        [[ $rest =~ ^\[\".*\"\]$ ]] || fault "$name: $word as a list, or a shell stands between the program and its signals"
        [ "$word" = CMD ] || entry=$rest
        ;;
      ARG | ENV | LABEL | SHELL | EXPOSE | STOPSIGNAL) ;;
      *) fault "$name: $word: not an instruction" ;;
    esac
  done < <(instructions "$1")
  [ "${#stages[@]}" -gt 1 ] || fault "$name: one stage: the compiler would be in the image"
  case $user in '' | root | 0 | 0:*) fault "$name: the image runs as root" ;; esac
  [ "$entry" = '["rwkv-train"]' ] || fault "$name: the entry point is ${entry:-missing}"
  # The manifests mount the runs there (tests/docker/k8s_test.cpp).
  [ "$place" = /work ] || fault "$name: the working directory is ${place:-/}, not /work"
}

# What sbatch reads stands before the first command; below it, an option would be ignored without a word.
batch_script() {
  local name=docker/slurm/${1##*/} option late
  late=$(awk '/^#SBATCH/ && code {print NR} !/^#/ && NF {code = 1}' "$1" | head -n 1)
  [ -z "$late" ] || fault "$name:$late: #SBATCH after the first command is not read"
  for option in requeue 'signal=USR1@[0-9]+' open-mode=append time= nodes= ntasks-per-node= output=; do
    grep -qE "^#SBATCH --$option" "$1" || fault "$name: no #SBATCH --$option"
  done
  grep -q '^srun ' "$1" || fault "$name: no srun: there would be one process"
}

count=0
for file in "$tree"/docker/*.Dockerfile; do
  [ -e "$file" ] || die "no Dockerfile in $tree/docker"
  dockerfile "$file"
  count=$((count + 1))
done
for file in "$tree"/docker/slurm/*.sbatch; do
  [ -e "$file" ] || die "no script in $tree/docker/slurm"
  batch_script "$file"
  count=$((count + 1))
done
if command -v hadolint >/dev/null; then
  # DL3008: versions of packages are the release's; SC1091: a file that is sourced lies in the image.
  hadolint --ignore DL3008 --ignore SC1091 "$tree"/docker/*.Dockerfile >&2 || faults=$((faults + 1))
fi

if [ $# != 0 ] && grep -q '^VERSION_CODENAME=bookworm' /etc/os-release 2>/dev/null; then
  needed=$(bash "$root/scripts/runtime_packages.sh" "$@")
  listed=$(instructions "$tree/docker/cpu.Dockerfile" | awk '/^FROM/ {text = ""} {text = text $0 "\n"} END {print text}' | tr -s ' ' '\n')
  for package in $needed; do
    grep -qxF "$package" <<<"$listed" || fault "docker/cpu.Dockerfile: the image lacks $package, which a program is linked with"
  done
fi

skipped=''
if ! command -v shellcheck >/dev/null && [ -n "$install" ]; then install_missing 'shellcheck program:shellcheck'; fi
if command -v shellcheck >/dev/null; then
  mapfile -t scripts < <(find "$tree/docker" "$tree/tests/slurm" "$tree/tests/docker" -name '*.sbatch' -o -name '*.sh')
  (cd "$tree" && shellcheck -x "${scripts[@]}" "$root"/scripts/{lint_docker,runtime_packages}.sh >&2) || faults=$((faults + 1))
else
  skipped=" (skipped: no shellcheck here; Debian: apt-get install shellcheck)"
fi
say "[lint] $count files in docker/, faults: $faults$skipped"
[ "$faults" = 0 ] || exit 1
[ -z "$skipped" ] || exit 77
