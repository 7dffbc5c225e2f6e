#!/usr/bin/env bash
# Filters of system calls (seccomp): with those that docs/operators.md lists, and those that the server makes without the
# library, all works; no other is made; and what a filter refuses is said for what it is.
#
#   TS_TRACE=FILE   what the servers call, in FILE.NAME
. "$(dirname "$0")/lib.sh"
command -v strace >/dev/null || bail "no strace (Debian: strace)"
filter=$programs/filter

# documented ROW…: the system calls of those rows.
documented() {
    local row
    for row; do
        sed -n '/^<!-- system calls -->/,/^<!-- end of system calls -->/p' "$root/docs/operators.md" |
            awk -F'|' -v row=" $row " '$2 == row { print $3 }' | grep -o '`[a-z0-9_]*`' | tr -d '`'
    done
}
# exercise NAME: tickets at the server and at a worker of it; prints what became of them.
exercise() {
    local at=$port
    get "$at" "$1"
    fate "$at" "$1"
    worker "$at"
    fate "$port" "$1"
}
twice="$both
$both"

# What the server does by itself. (The library's place is taken by nothing.)
shim=$lib lib=
as=(strace -f -qq -o "$work/trace")
server stock
as=() lib=$shim
is "$(exercise stock)" "$twice" "stock: tickets resume"
stop "$pid"
grep -oE '^[0-9]+ +[a-z0-9_]+\(' "$work/trace" | grep -oE '[a-z0-9_]+\(' | tr -d '(' | sort -u >"$work/stock"
[ "$(wc -l <"$work/stock")" -gt 10 ]; ok $? "… with $(wc -l <"$work/stock") system calls"

# allowed NAME [NAME=value…]: a server that everything else ends but what it needs by itself and what ${rows[@]} document.
allowed() {
    documented "${rows[@]}" >"$work/documented"
    sort -u "$work/stock" "$work/documented" >"$work/allow"
    [ -s "$work/documented" ]; ok $? "$1: $(wc -l <"$work/documented") system calls are documented"
    as=("$filter" allow "$work/allow" --)
    [ -z "${TS_TRACE:-}" ] || as=(strace -f -o "$TS_TRACE.$1" "${as[@]}")
    server "$1" "${@:2}"
    as=()
}
rows=(always)
allowed plain
is "$(exercise plain)" "$twice" "plain: no other is made"
mkdir -m 700 "$work/keys" "$work/made"
"$command" state init "$work/keys/state" >"$work/out"
rows=(always 'a state file')
allowed state "TICKETSHIM_STATE=$work/keys/state"
is "$(exercise state)" "$twice" "state: no other is made"
before=$(counter "$port" sealed)
"$command" state announce --use-at +1s "$work/keys/state" >"$work/out"
sleep 1.1
is "$(fate "$port" state) $(counter "$port" failures)" "$both 0" "state: … nor for one that is replaced"
[ "$(counter "$port" sealed)" -gt "$before" ]; ok $? "state: … and tickets are sealed under it"
rows=(always 'a state file' 'writing it' 'lines in the log')
allowed made "TICKETSHIM_STATE=$work/made/state" TICKETSHIM_ROTATE=1s TICKETSHIM_ACCEPT=2s
is "$(stat -c %a "$work/made/state")" 600 "made: the file is"
is "$(exercise made)" "$twice" "made: no other is made"
rows=(always counters)
allowed counted "TICKETSHIM_STATS=$work/made/stats"
is "$(exercise counted)" "$twice" "counted: no other is made"
is "$("$command" stats --json "$work/made/stats" | sed -n '/"families"/q; s/^ *"opened": \([0-9]*\),*$/\1/p')" 4 "counted: … and all is counted"

# ---- one that is refused -------------------------------------------------------------------------------------------------------

# refused NAME DESCRIPTION FILTER… -- [NAME=value…]
refused() {
    local name=$1 text=$2 filters=()
    shift 2
    while [ "$1" != -- ]; do filters+=("$1"); shift; done
    as=("$filter" deny "${filters[@]}" --)
    server "$name" "${@:2}"
    as=()
    get "$port" "$name"
    is "$(fate "$port" "$name") $(counter "$port" failures)" "$both 0" "$text: tickets resume"
    worker "$port"
    is "$(fate "$port" "$name")" "$both" "$text: … at a worker too"
}
new() { rm -rf "$work/new" && mkdir -m 700 "$work/new"; }
refused mlock "who locks memory is killed" mlock=kill mlock2=kill mlockall=kill --
new
refused lock-free "flock(2) is refused, and not needed to make the file" flock=1 -- "TICKETSHIM_STATE=$work/new/state"
is "$(ls -A "$work/new") $(log_of lock-free)" "state 0" "… which is made, without a word"
for answer in 1:EPERM 38:ENOSYS 13:EACCES; do
    new
    refused "flock-$answer" "flock(2) is answered with ${answer#*:}" linkat=38 "flock=${answer%:*}" -- "TICKETSHIM_STATE=$work/new/state"
    like "$(grep refused "$work/flock-$answer.err")" "*the system forbids this process flock (*)*SystemCallFilter=*" "… and the line says so"
    is "$(ls -A "$work/new")" '' "… and nothing is left"
done
new
refused rename "no renameat2(2), and no file without a name" linkat=38 renameat2=1 -- "TICKETSHIM_STATE=$work/new/state"
like "$(grep refused "$work/rename.err")" "*the system forbids this process rename (*" "… and neither of them: the line says so"
new
refused fsync "fsync(2) is refused" fsync=1 -- "TICKETSHIM_STATE=$work/new/state"
like "$(grep refused "$work/fsync.err")" "*the system forbids this process fsync (*" "… and the line says so"
refused pages "no advice on memory, and no pages that are moved" madvise=1 mremap=1 --
new
refused counters "process_vm_writev(2) is refused" process_vm_writev=1 -- "TICKETSHIM_STATS=$work/new/stats"
is "$(log_of counters 'the system forbids process_vm_writev')" 1 "… and a line says so, once"
finished
