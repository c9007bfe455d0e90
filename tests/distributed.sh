#!/usr/bin/env bash
# The bits of trainings over MPI: distributed.sh [KILLS] compares any number of ranks and threads, on one
# host and on several, and runs that were killed or lost a link, with one rank. KILLS (default 3) processes
# are killed for each model.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ADAMANT_MPI_TIME_LIMIT=60
kills=${1:-3}
program=$(cargo test --release --features mpi --test distributed --no-run --message-format json \
  | sed -nE 's/.*"executable":"([^"]*distributed[^"]*)".*/\1/p' | tail -1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# trains RANKS THREADS MODEL FOLDER: prints the hash.
trains() {
  RAYON_NUM_THREADS=$2 mpirun --oversubscribe -n "$1" "$program" "$3" "$steps" "$4"
}

# rows FOLDER: the number of steps that the run has logged.
rows() {
  if test -f "$1/metrics.jsonl"; then wc -l <"$1/metrics.jsonl"; else echo 0; fi
}

for model in mlp sgd cnn sync lstm gpt; do
  steps=12
  expected=$(trains 1 1 "$model" "$folder/$model-1")
  for ranks in 1 2 3 4 8; do
    for threads in 1 2 3; do
      found=$(trains "$ranks" "$threads" "$model" "$folder/$model-$ranks-$threads")
      test "$found" = "$expected" || {
        echo "$model on $ranks ranks of $threads threads: found $found, expected $expected" >&2
        exit 1
      }
    done
  done
  echo "$model: $expected on 1, 2, 3, 4 and 8 ranks of 1, 2 and 3 threads"
  for hosts in 2 4; do
    found=$(crates/mpi/tests/hosts.sh run "$hosts" "$program" "$model" "$steps" "$folder/$model-$hosts-hosts")
    if [[ $found = *"not checked" ]]; then echo "$found" && break; fi
    test "$found" = "$expected" || {
      echo "$model on $hosts hosts: found $found, expected $expected" >&2
      exit 1
    }
    echo "$model: $found on $hosts hosts"
  done

  steps=200
  expected=$(trains 1 1 "$model" "$folder/$model-straight")
  killed=0
  for ((attempt = 1; killed < kills; attempt++)); do
    run=$folder/$model-killed-$attempt
    found=
    for _ in {1..60}; do
      before=$(rows "$run")
      trains $((1 + RANDOM % 8)) 1 "$model" "$run" >"$folder/out" 2>"$folder/err" &
      # A kill counts if the run has progressed.
      for _ in {1..100}; do
        if ((killed == kills)) || ! kill -0 $! 2>/dev/null; then break; fi
        sleep "0.0$((RANDOM % 10))"
        test "$(rows "$run")" -gt "$before" || continue
        victim=$(pgrep -f "^$program $model" | shuf -n 1 || true)
        if test -n "$victim" && kill -KILL "$victim" 2>/dev/null; then
          killed=$((killed + 1))
        fi
        break
      done
      wait $! || true
      found=$(grep -E '^[0-9a-f]{16}$' "$folder/out" || true)
      test -z "$found" || break
    done
    test "$found" = "$expected" || {
      echo "$model, killed and resumed: found $found, expected $expected" >&2
      exit 1
    }
    diff <(sed -E 's/"time":[0-9.]+,//' "$folder/$model-straight/metrics.jsonl") \
      <(sed -E 's/"time":[0-9.]+,//' "$run/metrics.jsonl")
  done
  echo "$model: $killed processes killed, resumed with other numbers of ranks: $expected"

  steps=600 # a second or more, in which the link fails
  expected=$(trains 1 1 "$model" "$folder/$model-long")
  run=$folder/$model-broken
  crates/mpi/tests/hosts.sh break 3 "$run/metrics.jsonl" 2 "$program" "$model" "$steps" "$run"
  found=$(trains 2 1 "$model" "$run")
  test "$found" = "$expected" || {
    echo "$model, resumed after a link failed: found $found, expected $expected" >&2
    exit 1
  }
done
