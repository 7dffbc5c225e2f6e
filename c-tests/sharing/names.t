#!/usr/bin/env bash
# As many names as come: a server with four workers is visited under each name twice, and all resume. And the table of what names
# led to is small where it has to be.
#
#   TS_NAMES=100000    how many names (5000)
#   TS_MADE_UP=20000   how many made-up names then (1000)
. "$(dirname "$0")/lib.sh"
names=${TS_NAMES:-5000} made_up=${TS_MADE_UP:-1000}

# run NAME [NAME=value…]: under the library, with that environment. ${as[@]} is put before the command.
run() {
    local name=$1
    shift
    env "$@" timeout --kill-after=5 1800 ${as[@]+"${as[@]}"} "$bin/names" "$names" 4 "$made_up" >"$work/$name.tap" 2>"$work/$name.err"
    local status=$? line
    while IFS= read -r line; do
        case $line in
        'ok '*) ok 0 "$name: ${line#ok * - }" ;;
        'not ok '*) ok 1 "$name: ${line#not ok * - }" ;;
        '#'*) echo "$line" ;;
        esac
    done <"$work/$name.tap"
    sed "s/^/# $name: /" "$work/$name.err"
    is "$status" 0 "$name: ends well"
}
shim=(TS_EXPECT_SHIM=1 "LD_PRELOAD=$lib")
run shim "${shim[@]}"
# reserved NAME: KiB of address space that the table has.
reserved() { sed -n 's/^# the table: [0-9]* KiB of \([0-9]*\) KiB$/\1/p' "$work/$1.err"; }
taken() { sed -n 's/^# the table: \([0-9]*\) KiB of .*/\1/p' "$work/$1.err"; }
[ "$(reserved shim)" -le 65536 ]; ok $? "shim: $(reserved shim) KiB are reserved, not more than 64 MiB"
[ "$(taken shim)" -le $((names * 256 / 1024 + 512)) ]; ok $? "shim: $(taken shim) KiB are taken for $names names"

names=400 made_up=0
if [ "$(id -u)" = 0 ] || [ "$(ulimit -l)" = unlimited ]; then
    run locked "${shim[@]}" TS_LOCK_ALL=1
    [ "$(reserved locked)" -le 512 ]; ok $? "locked: mlockall(MCL_FUTURE) pulls $(reserved locked) KiB in"
else
    skip "may not lock memory" "locked: mlockall(MCL_FUTURE) and the table"
fi
as=(prlimit --as=$((400 << 20)) --)
run limited "${shim[@]}"
[ "$(reserved limited)" -le $((400 * 1024 / 16)) ]; ok $? "limited: of 400 MiB of address space $(reserved limited) KiB are reserved"
finished
