#!/usr/bin/env bash
# Rotation under load: four threads that resume without pause while keys change each second, once with keys of the
# process's own and once with a state file that is advanced meanwhile.
#
#   TS_SECONDS=30   for how long (12)
. "$(dirname "$0")/lib.sh"
seconds=${TS_SECONDS:-12}

run() { # run NAME [NAME=value…]: in the background
    local name=$1
    shift
    env TICKETSHIM_ROTATE=1s TICKETSHIM_ACCEPT=5s TICKETSHIM_STATS="$work/$name.stats" TS_EXPECT_SHIM=1 \
        "LD_PRELOAD=$lib" "$@" \
        timeout --kill-after=5 $((seconds + 30)) "$bin/load" "$seconds" >"$work/$name.tap" 2>"$work/$name.err" &
}
mkdir -m 700 "$work/state"
"$command" state init --rotate 1s --accept 5s "$work/state/file" >"$work/init.err" 2>&1 || sed 's/^/# /' "$work/init.err"
declare -A running
run own && running[own]=$!
run file "TICKETSHIM_STATE=$work/state/file" && running[file]=$!
advances=0 troubles=0
for ((i = 0; i < seconds - 2; i++)); do
    sleep 1
    if "$command" state advance "$work/state/file" >"$work/advance.err" 2>&1; then advances=$((advances + 1))
    else troubles=$((troubles + 1)); sed 's/^/# /' "$work/advance.err"; fi
done
for name in own file; do
    wait "${running[$name]}"
    status=$?
    while IFS= read -r line; do
        case $line in
        'ok '*) ok 0 "keys from $name: ${line#ok * - }" ;;
        'not ok '*) ok 1 "keys from $name: ${line#not ok * - }" ;;
        '#'*) echo "$line" ;;
        esac
    done <"$work/$name.tap"
    is "$status" 0 "keys from $name: and the counters are exact"
    epochs=$(published "$name" epochs)
    [ "${epochs:-0}" -ge $((seconds * 3 / 4)) ]; ok $? "keys from $name: $epochs rotations were counted"
done
is "$troubles" 0 "the state file was advanced meanwhile"
finished
