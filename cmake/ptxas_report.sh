#!/usr/bin/env bash
# ptxas_report.sh REPORT COMMAND...: runs an nvcc command; what it says becomes REPORT, or an error.
set -euo pipefail
report=$1
shift
mkdir -p "$(dirname "$report")"
if "$@" 2>"$report.log"; then
  mv "$report.log" "$report"
else
  cat "$report.log" >&2
  exit 1
fi
