#!/usr/bin/env bash
# The test of the tests that run the CUDA kernels on the CPU: each defect of seeded_defects.txt, made in a copy of cuda/,
# must fail the test named beside it, and a copy without defects must pass all of these.
#   usage: seeded_defects.sh BUILD_DIR [WORK_DIR [PATTERN]]     (PATTERN: only defects whose name matches it)
# BUILD_DIR is a Ninja build of this tree; it is brought up to date and otherwise left alone. Exit code 0 only if every
# defect was caught.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ $# -lt 1 ] || [ $# -gt 3 ]; then
  sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
build=$(cd "$1" && pwd)
if [ $# -ge 2 ]; then
  mkdir -p "$2" && work=$(cd "$2" && pwd)
else
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
pattern=${3:-.}
limit=60 # seconds of a test program; the slowest filter takes about three
jobs=$(nproc)
export RT_TEST_IMPL=cuda RT_NUM_THREADS=2
unset RT_EMU_ORDER RT_EMU_SEED RT_EMU_THREADS
ulimit -c 0

die() { printf '%s\n' "$*" >&2; exit 1; }
trim() { sed 's/^ *//; s/ *$//' <<<"$1"; }
object_of() { printf 'cuda/CMakeFiles/rt_cuda_emulated.dir/emulated/%s.cpp.o' "$1"; }

# ---- the list: names, files, units, programs, filters; the edit of defect i is $work/edits/i ----
names=() files=() units=() programs=() filters=()
read_list() {
  local line name file unit program filter taken=0
  rm -rf "$work/edits" && mkdir -p "$work/edits"
  while IFS= read -r line; do
    if [[ $line == '== '* ]]; then
      IFS='|' read -r name file unit program filter <<<"${line#== }"
      name=$(trim "$name") taken=0
      [[ $name =~ $pattern ]] || continue
      [ -n "$filter" ] || die "'$name': a heading has five parts"
      taken=1
      names+=("$name") files+=("$(trim "$file")") units+=("$(trim "$unit")")
      programs+=("$(trim "$program")") filters+=("$(trim "$filter")")
    elif [[ $line == [\ +-]* ]]; then
      [ "$taken" = 0 ] || printf '%s\n' "$line" >>"$work/edits/$((${#names[@]} - 1))"
    elif [[ -n $line && $line != '#'* ]]; then
      die "$here/seeded_defects.txt: what is '$line'?"
    fi
  done <"$here/seeded_defects.txt"
  [ ${#names[@]} -gt 0 ] || die "no defect matches '$pattern'"
}

# apply EDIT FILE: the edited file; fails unless the edit's lines stand in it exactly once.
apply() {
  awk '
    function bare(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
    FILENAME == ARGV[1] {
      mark = substr($0, 1, 1); text = substr($0, 2)
      if (mark != "+") { want[++wants] = bare(text); stays[wants] = mark == " " }
      else added[wants] = added[wants] text "\n"  # after the line before it
      if (mark != " ") edits++
      next
    }
    { line[++lines] = $0 }
    END {
      for (i = 1; i + wants - 1 <= lines; i++) {
        for (k = 1; k <= wants && bare(line[i + k - 1]) == want[k]; k++);
        if (k > wants) { at = i; found++ }
      }
      if (!wants || !edits || found != 1) { printf "found %d times\n", found >"/dev/stderr"; exit 1 }
      for (i = 1; i <= lines; i++) {
        k = i - at + 1
        inside = k >= 1 && k <= wants
        if (!inside || stays[k]) print line[i]
        if (inside) printf "%s", added[k]
      }
    }' "$1" "$2"
}

# compile UNIT DIR: DIR/UNIT.o of DIR/cuda, by the command of the build but quicker.
compile() {
  local object command
  object=$(object_of "$1")
  command=$(cd "$build" && ninja -t commands "$object" | tail -n 1)
  printf '#include "%s/cuda/ops/%s.cu"\n' "$2" "$1" >"$2/$1.cpp"
  [[ $command == *" -I"* && $command == *"$object"* && $command == *" -c "* ]] || die "cannot read: $command"
  command=${command/ -I/ -I$2 -I}
  command=${command//$object/$2/$1.o}
  (cd "$build" && bash -c "${command%% -c *} -O1 -w -c $2/$1.cpp") >"$2/$1.log" 2>&1
}

# link PROGRAM DIR UNIT...: DIR/PROGRAM with the units' objects in DIR in place of the build's, and first, so that of
# functions that several objects bring along it is theirs that are used.
link() {
  local program=$1 dir=$2 command new='' unit object first
  command=$(cd "$build" && ninja -t commands "$program" | tail -n 1)
  for unit in "${@:3}"; do
    object=$(object_of "$unit")
    [[ $command == *" $object"* ]] || die "$program is not linked with $object"
    command=${command/ $object/}
    new+=" $dir/$unit.o"
  done
  first=$(grep -o " [^ ]*\.cpp\.o" <<<"$command" | sed -n 1p)
  [[ -n $first && $command == *" -o tests/$program "* ]] || die "cannot read: $command"
  command=${command/"$first"/"$new$first"}
  command=${command/ -o tests\/$program / -o $dir\/$program }
  (cd "$build" && bash -c "$command") >"$dir/$program.log" 2>&1
}

# Not to the terminal: what bash says of a program that was killed.
run_test() { { timeout -k 5 "$limit" "$1" --gtest_filter="$2" --gtest_color=no >"$3" 2>&1; } 2>/dev/null; }

# What the first failure in a test's output says, on one line.
why() {
  awk '
    / Failure$/ || /^unknown file: Failure/ { if (inside) exit; inside = 1; next }
    inside && (/^$/ || /^\[/) { exit }
    inside && /exception with description|^The difference/ { gsub(/.*with description "|" thrown in .*/, ""); said = $0; exit }
    inside && /actual:/ { sub(/^.*actual: /, ""); value = $0; next }
    inside { before = said; said = $0 }
    END {
      if (value != "") said = said ": " value
      else if (said !~ /[a-z][a-z]/) said = before ", not " said
      gsub(/^ +/, "", said)
      print substr(said, 1, 180)
    }' "$1"
}

# ---- without a defect everything passes, built in the same way ----
control() {
  local dir=$work/control unit program pair key failed=0
  local -A seen=()
  rm -rf "$dir" && mkdir -p "$dir" && cp -r "$root/cuda" "$dir/cuda"
  for unit in "${units[@]}"; do
    [ -z "${seen[$unit]:-}" ] || continue
    seen[$unit]=1
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
    compile "$unit" "$dir" &
  done
  wait
  for unit in "${!seen[@]}"; do [ -s "$dir/$unit.o" ] || { cat "$dir/$unit.log"; die "control: $unit does not compile"; }; done
  for program in $(printf '%s\n' "${programs[@]}" | sort -u); do
    link "$program" "$dir" "${!seen[@]}" || { cat "$dir/$program.log"; die "control: $program does not link"; }
  done
  for pair in "${!names[@]}"; do
    key=${programs[pair]}:${filters[pair]}
    [ -z "${seen[$key]:-}" ] || continue
    seen[$key]=1
    local out=$dir/${filters[pair]//[^A-Za-z0-9.]/_}.out
    if ! run_test "$dir/${programs[pair]}" "${filters[pair]}" "$out" || ! grep -q '^\[  PASSED  \] [1-9]' "$out" ||
      grep -q '^\[  SKIPPED \]' "$out"; then
      printf 'control: %s %s does not pass without a defect: %s\n' "${programs[pair]}" "${filters[pair]}" "$(why "$out")"
      failed=1
    fi
  done
  [ "$failed" = 0 ] || exit 1
}

# ---- one defect: a line in $work/INDEX.line, and $work/INDEX.caught if it was caught ----
seed() {
  local i=$1 dir=$work/$1 status=0 how start=${EPOCHREALTIME/[.,]/} file
  file=${files[i]}
  rm -rf "$dir" "$dir.caught" "$dir.line" && mkdir -p "$dir" && cp -r "$root/cuda" "$dir/cuda"
  apply "$work/edits/$i" "$root/cuda/$file" >"$dir/cuda/$file"
  if ! compile "${units[i]}" "$dir"; then
    how="NOT TRIED, does not compile: $(grep -m 1 error "$dir/${units[i]}.log" || true)"
  elif ! link "${programs[i]}" "$dir" "${units[i]}"; then
    how="NOT TRIED, does not link: $(tail -n 1 "$dir/${programs[i]}.log")"
  else
    run_test "$dir/${programs[i]}" "${filters[i]}" "$dir/out" || status=$?
    case $status in
      0) how="NOT CAUGHT by ${filters[i]}" ;;
      1) how="caught by ${filters[i]}: $(why "$dir/out" | sed "s|$dir/||g")" ;;
      124 | 137) how="caught by ${filters[i]}: no end within $limit s" ;;
      [2-9] | ?? | 12[5-7]) how="NOT TRIED, exit code $status" status=0 ;;
      *) how="caught by ${filters[i]}: killed by signal $((status - 128))" ;;
    esac
    [ "$status" = 0 ] || touch "$dir.caught"
  fi
  rm -rf "$dir/cuda" "$dir"/*.o "${dir:?}/${programs[i]}"
  printf '%s (%s), %d s\n    %s\n' "${names[i]}" "$file" $(((${EPOCHREALTIME/[.,]/} - start) / 1000000)) "$how" >"$dir.line"
}

read_list
stale=0
for i in "${!names[@]}"; do
  [ -f "$root/cuda/${files[i]}" ] || { printf "'%s': there is no cuda/%s\n" "${names[i]}" "${files[i]}"; stale=1; continue; }
  said=$(apply "$work/edits/$i" "$root/cuda/${files[i]}" 2>&1 >/dev/null) ||
    { printf "'%s': its lines are %s in cuda/%s, not once\n" "${names[i]}" "$said" "${files[i]}"; stale=1; }
done
[ "$stale" = 0 ] || die "seeded_defects.txt no longer fits the kernels; make these defects anew"

mapfile -t wanted < <(printf '%s\n' "${programs[@]}" | sort -u)
grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$build/CMakeCache.txt" || die "$build is no build of $root"
(cd "$build" && ninja "${wanted[@]}") >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; die "the tests do not build"; }
control
for i in "${!names[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
  seed "$i" &
done
wait
caught=0
for i in "${!names[@]}"; do
  cat "$work/$i.line" || printf '%s: no result\n' "${names[i]}"
  [ ! -e "$work/$i.caught" ] || caught=$((caught + 1))
done
printf '%d defects, %d caught, %d s\n' "${#names[@]}" "$caught" "$SECONDS"
[ "$caught" = "${#names[@]}" ]
