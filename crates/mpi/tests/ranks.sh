#!/usr/bin/env bash
# The transport on this machine: ranks.sh PROGRAM [RANKS…], where PROGRAM is the example `exchanges`.
set -euo pipefail
program=$1
ranks=("${@:2}")
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
output=$(mktemp)
trap 'rm -f "$output"' EXIT

run() { timeout 300 mpirun --oversubscribe "$@" >"$output" 2>&1; }

# ends SECONDS PATTERN COMMAND…: the command fails within this time, with a line that matches.
ends() {
  local seconds=$1 pattern=$2 start=$SECONDS
  if "${@:3}"; then
    echo "${*:3}: found success, expected an error" >&2
    exit 1
  fi
  local taken=$((SECONDS - start))
  if ((taken > seconds)) || ! grep -E "$pattern" "$output"; then
    cat "$output" >&2
    echo "${*:3}: found the end after $taken s, expected /$pattern/ within $seconds s" >&2
    exit 1
  fi
}

# kills RANKS: kills one of them while they exchange.
kills() {
  run -n "$1" "$program" endless &
  local victim=$((RANDOM % $1)) line= status=0
  for _ in {1..100}; do
    line=$(grep -m 1 -E "^rank $victim: process [0-9]+$" "$output" || true)
    test -z "$line" || break
    sleep 0.1
  done
  sleep "0.$((RANDOM % 10))"
  kill -KILL "${line##* }"
  wait $! || status=$?
  return $status
}

for n in "${ranks[@]:-2}"; do
  run -n "$n" "$program" || { cat "$output" >&2; exit 1; }
  test "$(grep -c "of $n: as expected$" "$output")" = "$n"
  echo "$n ranks: as expected"
done
ADAMANT_MPI_TIME_LIMIT=2 ends 20 "^rank [01]: barrier: found no answer in 2 s, expected" run -n 3 "$program" late
ends 20 "out of luck" run -n 3 "$program" panic
ends 20 "^rank 2: no space left on device$" run -n 3 "$program" error
ends 20 "^rank [01]: all_gather: found more than 2147483647 bytes, expected" run -n 2 "$program" large
ADAMANT_MPI_TIME_LIMIT=never ends 20 "start: found ADAMANT_MPI_TIME_LIMIT=never, expected" run -n 2 "$program"
for _ in 1 2 3; do
  ADAMANT_MPI_TIME_LIMIT=10 ends 30 "signal 9|no answer" kills 3
done
