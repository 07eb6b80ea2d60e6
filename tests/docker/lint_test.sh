#!/usr/bin/env bash
# shellcheck disable=SC2016  # edits are quoted
# scripts/lint_docker.sh: docker/ has no faults, and each seeded one is found.
#   usage: bash tests/docker/lint_test.sh [PROGRAM]
# Exit code 77 (skipped) where shellcheck is missing; what needs none is looked at before.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failures=0 skipped=0 path=$PATH

lint() { PATH=$path bash "$root/scripts/lint_docker.sh" --no-install "$@" >"$work/out" 2>&1; }
fresh() {
  rm -rf "$work/tree"
  mkdir -p "$work/tree/tests"
  cp -r "$root/docker" "$root/scripts" "$root/configs" "$work/tree"
  cp -r "$root/tests/docker" "$root/tests/slurm" "$work/tree/tests"
}

lint "$@"
status=$?
tail -n 1 "$work/out"
case $status in
  0) ;;
  77) skipped=1 ;;
  *) failures=1 && cat "$work/out" ;;
esac


# seeded WHAT FILE EDIT: with this edit (sed) of that file the fault is found, and named by these words.
seeded() {
  fresh
  sed -i -E "$3" "$work/tree/docker/$2"
  if cmp -s "$root/docker/$2" "$work/tree/docker/$2"; then
    echo "FAILED: the edit changed nothing: $2: $3" && failures=$((failures + 1))
  elif lint --tree "$work/tree" "${@:4}" || ! grep -qF -- "$1" "$work/out"; then
    echo "FAILED: not found: $1 ($2: $3)" && cat "$work/out" && failures=$((failures + 1))
  fi
}

if [ "$skipped" = 0 ]; then seeded SC2086 slurm/train.sbatch 's/rm -f "\$counter"/rm -f $counter/'; fi
# What else is seeded is not for shellcheck, which takes long.
mkdir "$work/bin"
printf '#!/bin/sh\n' >"$work/bin/shellcheck"
chmod +x "$work/bin/shellcheck"
path=$work/bin:$PATH
seeded 'debian:latest: name the version' cpu.Dockerfile 's/debian:12-slim$/debian:latest/'
seeded 'debian: name the version' cpu.Dockerfile 's/^FROM debian:12-slim$/FROM debian/'
seeded 'COPY --from=built: no such stage' cuda.Dockerfile 's/--from=build/--from=built/'
seeded 'COPY config: not in the tree' cpu.Dockerfile 's/^COPY configs/COPY config/'
seeded 'curl: nothing is downloaded' cuda.Dockerfile 's/^( *)&& cmake --build.*/\1\&\& curl -O x.tar \\/'
seeded 'without -y --no-install-recommends' cpu.Dockerfile 's/ --no-install-recommends//'
seeded 'the package lists stay' cuda.Dockerfile 's/rm -rf .var.lib.apt.lists.. /true /'
seeded 'without update before it' cpu.Dockerfile 's/apt-get update/true/'
seeded 'runs as root' cuda.Dockerfile '/^USER/d'
seeded 'as a list' cpu.Dockerfile 's/^ENTRYPOINT.*/ENTRYPOINT rwkv-train/'
seeded 'the working directory is /, not /work' cpu.Dockerfile '/^WORKDIR .work/d'
seeded 'ADD fetches' cuda.Dockerfile 's/^COPY configs/ADD configs/'
seeded 'RNU: not an instruction' cuda.Dockerfile 's/^RUN cmake/RNU cmake/'
seeded '#SBATCH after the first command' slurm/train.sbatch 's/^say\(\)/#SBATCH --exclusive\n&/'
seeded 'no #SBATCH --requeue' slurm/train.sbatch '/^#SBATCH --requeue/d'
seeded 'no #SBATCH --signal' slurm/train.sbatch 's/signal=USR1/signal=B:USR1/'
seeded 'no srun' slurm/train.sbatch 's/^srun .*/"${train[@]}" "$@"/'
if [ $# != 0 ] && grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then
  seeded 'the image lacks libyaml-cpp0.7' cpu.Dockerfile 's/libyaml-cpp0.7//' "$@"
fi
fresh
rm "$work/tree/docker/cuda.Dockerfile.dockerignore"
if lint --tree "$work/tree"; then echo "FAILED: a missing .dockerignore was not found" && failures=$((failures + 1)); fi

echo "$failures failures"
[ "$failures" = 0 ] || exit 1
[ "$skipped" = 0 ] || exit 77
