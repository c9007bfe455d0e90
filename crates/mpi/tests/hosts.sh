#!/usr/bin/env bash
# The transport between hosts: hosts.sh PROGRAM [HOSTS…], where PROGRAM is the example `exchanges`.
# A link that fails while they exchange ends the ranks on both of its sides.
#
# Or any other program on hosts: hosts.sh run HOSTS PROGRAM [ARGUMENTS…]; and one whose last host loses its
# link when a file has a number of lines: hosts.sh break HOSTS FILE LINES PROGRAM [ARGUMENTS…].
#
# Hosts are network namespaces of this machine, joined by a switch, with one rank each (Open MPI over
# TCP). Needs root.
set -euo pipefail
name=adamant-$$
switch=$name-switch
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

if ! ip netns add "$switch" 2>/dev/null; then
  echo "network namespaces need root and \`ip netns\`: not checked"
  exit 0
fi
if ! ip -n "$switch" link add bridge type bridge 2>/dev/null; then
  ip netns del "$switch"
  echo "the kernel does not have bridges: not checked"
  exit 0
fi
ip -n "$switch" link set bridge up
folder=$(mktemp -d)
hosts=()

# Ends what still runs on the hosts, and removes them.
cleanup() {
  for host in "${hosts[@]}"; do
    ip netns pids "$host" | xargs -r kill -KILL 2>/dev/null || true
    ip -n "$switch" link del "port${host##*-}"
    ip netns del "$host"
  done
  hosts=()
}
trap 'cleanup; ip netns del "$switch"; rm -rf "$folder"' EXIT

# How mpirun starts its daemon on another host: AGENT ADDRESS COMMAND…
cat >"$folder/agent" <<AGENT
#!/usr/bin/env bash
host=$name-\${1##*.}
shift
exec ip netns exec "\$host" unshare --uts sh -c "hostname \$host; \$*"
AGENT
# A rank, whose messages are kept where a failed link cannot lose them.
cat >"$folder/rank" <<'RANK'
#!/usr/bin/env bash
exec "$@" 2>"${0%/*}/messages-$OMPI_COMM_WORLD_RANK"
RANK
chmod +x "$folder/agent" "$folder/rank"

# starts N: N hosts, 10.77.0.1 and so on.
starts() {
  for number in $(seq "$1"); do
    local host=$name-$number
    ip netns add "$host"
    hosts+=("$host")
    ip link add eth0 netns "$host" type veth peer name "port$number" netns "$switch"
    ip -n "$host" address add "10.77.0.$number/24" dev eth0
    ip -n "$host" link set lo up
    ip -n "$host" link set eth0 up
    ip -n "$switch" link set "port$number" master bridge up
  done
}

# run N COMMAND…: the command on N hosts.
run() {
  local addresses
  addresses=$(seq -f '10.77.0.%g:1' -s , "$1")
  "$folder/agent" 10.77.0.1 exec mpirun --host "$addresses" -n "$1" \
    --mca plm_rsh_agent "$folder/agent" --mca btl self,tcp \
    --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 \
    -x ADAMANT_MPI_TIME_LIMIT "${@:2}"
}

# breaks N FILE LINES COMMAND…: the command on N hosts; the link of the last one fails when the file has
# this number of lines. The ranks end, with a message on both sides.
breaks() {
  local count=$1 file=$2 lines=$3 start command
  command=("${@:4}")
  export ADAMANT_MPI_TIME_LIMIT=5
  run "$count" "$folder/rank" "${command[@]}" >"$folder/output" 2>&1 &
  until test -f "$file" && test "$(wc -l <"$file")" -ge "$lines"; do
    kill -0 $! || { cat "$folder"/output "$folder"/messages-* >&2; exit 1; }
    sleep 0.02
  done
  ip -n "$switch" link set "port$count" down
  if ! pgrep -f "^${command[*]}" >/dev/null; then
    echo "$count hosts: the program ended before its link failed" >&2
    exit 1
  fi
  start=$SECONDS
  # Each rank ends, whether or not mpirun can reach it.
  while pgrep -f "^${command[*]}" >/dev/null; do
    if ((SECONDS - start > 30)); then
      echo "$count hosts: found ranks that have not ended 30 s after their link failed" >&2
      exit 1
    fi
    sleep 0.1
  done
  echo "$count hosts: all ranks have ended $((SECONDS - start)) s after a link failed"
  # On both sides: the first rank to end may end those that mpirun still reaches before they print it.
  local pattern="found no answer in 5 s, expected one from every rank"
  if ! grep -h -m 1 "$pattern" "$folder/messages-$((count - 1))" ||
    ! grep -h -m 1 "$pattern" $(seq -f "$folder/messages-%g" 0 $((count - 2))); then
    cat "$folder"/messages-* >&2
    echo "$count hosts: a side of the failed link ended without the message" >&2
    exit 1
  fi
  cleanup
  wait
  unset ADAMANT_MPI_TIME_LIMIT
  rm -f "$folder"/messages-*
}

case $1 in
  run)
    starts "$2"
    run "${@:2}"
    ;;
  break)
    starts "$2"
    breaks "${@:2}"
    ;;
  *)
    program=$(realpath "$1")
    counts=("${@:2}")
    for count in "${counts[@]:-2}"; do
      starts "$count"
      run "$count" "$folder/rank" "$program" >"$folder/output" 2>&1 || { cat "$folder"/output "$folder"/messages-* >&2; exit 1; }
      test "$(grep -c "of $count: as expected$" "$folder/output")" = "$count"
      echo "$count hosts: as expected"
      breaks "$count" "$folder/output" 20 "$program" endless
    done
    ;;
esac
