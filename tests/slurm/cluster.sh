# shellcheck shell=bash disable=SC2154  # $work is the directory of whoever sources this
# A Slurm cluster of three nodes on this machine, for a test: start_cluster, stop_cluster. Everything lies in $work.

# The nodes' names are addresses of the loopback device, so that each is a name that resolves without a change to the
# machine. Without cgroups, which a container may not have.
write_configuration() {
  local port=$((24000 + $$ % 800 * 10)) # below those that the system gives out
  cat >"$work/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$(uname -n)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its old credential is void: two minutes otherwise.
AuthInfo=socket=$work/munge/socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd-%n.pid
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool/%n
SlurmctldLogFile=$work/log/slurmctld
SlurmdLogFile=$work/log/%n
NodeName=127.0.0.[1-3] NodeHostname=localhost Port=$((port + 1))-$((port + 3)) CPUs=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}

start_cluster() {
  local node
  mkdir -p "$work"/{state,spool,log,munge}
  chmod 755 "$work" "$work/munge" # munged refuses a socket that not everybody reaches
  write_configuration
  export SLURM_CONF=$work/slurm.conf
  head -c 128 /dev/urandom >"$work/munge.key"
  chmod 600 "$work/munge.key"
  munged --socket="$work/munge/socket" --key-file="$work/munge.key" --pid-file="$work/munged.pid" \
    --log-file="$work/log/munged" --seed-file="$work/munge.seed" || return 1
  slurmctld -f "$SLURM_CONF" || return 1
  for node in 1 2 3; do slurmd -f "$SLURM_CONF" -N "127.0.0.$node" || return 1; done
  for _ in {1..60}; do
    [ "$(sinfo --noheader --states=idle --format=%D 2>/dev/null)" = 3 ] && return 0
    sleep 0.5
  done
  return 1
}

stop_cluster() {
  local file
  if [ -e "$work/slurmctld.pid" ]; then
    scancel --state=RUNNING --state=PENDING --state=SUSPENDED --user=root 2>/dev/null
    for _ in {1..60}; do
      [ -n "$(squeue --noheader 2>/dev/null)" ] || break
      sleep 0.5
    done
  fi
  for file in "$work"/slurmd-*.pid "$work/slurmctld.pid" "$work/munged.pid"; do
    if [ -s "$file" ]; then
      kill "$(cat "$file")" 2>/dev/null
      for _ in {1..40}; do
        [ -e "$file" ] || break # each removes its own when it ends
        sleep 0.25
      done
    fi
  done
}
