#!/usr/bin/env bash
# What the system refuses and what others do to the state file: each is a full handshake or a refusal that is counted,
# never a failed handshake, a hang or a server that is gone; and when it is over, all is as before.
#
#   TS_SHORT=1   set the clock 8 times instead of 20
. "$(dirname "$0")/lib.sh"
command -v prlimit >/dev/null || bail "no prlimit (Debian: util-linux)"

faults() { printf '%-64s' "$2" 1<>"$work/$1.faults"; } # faults NAME WORDS: what fails from now on
# start NAME WORDS [NAME=value…]: sharing/programs/server.c, in which those fail from the beginning.
start() {
    faults "$1" "$2"
    as=(env "LD_PRELOAD=$lib $programs/faults.so $bin/clock.so" "TS_FAULTS=$work/$1.faults" ${under[@]+"${under[@]}"})
    server "$1" "${@:3}" -- timeout=86400
    as=()
}
under=()
# after NAME DESCRIPTION: the server is as good as ever.
after() {
    local before
    before=$(counter "$port" opened)
    get "$port" "$1"
    is "$(fate "$port" "$1") $(($(counter "$port" opened) - before))" "$both 2" "$2"
}
# waits_not BEGUN PORT: since then there were a few seconds at most; or, on a machine that is busy, not much more than
# the same takes of a server that lacks nothing, or than it takes of this one again.
waits_not() {
    local took=$((SECONDS - $1)) v
    [ "$took" -gt 5 ] || return 0
    four() { local begun=$SECONDS; for v in 1.2 1.3 1.2 1.3; do "$bin/client" "$1" "$v"; done >"$work/four"; four=$((SECONDS - begun)); }
    four "$plain"
    [ "$took" -gt $((5 + 10 * four)) ] || return 0
    four "$2"
    [ "$four" -le 5 ]
}
# works NAME DESCRIPTION WANTED: what comes of a full handshake and of the tickets named NAME, without waiting.
works() {
    local begun=$SECONDS
    is "$(for v in "${versions[@]}"; do shake "$port" "$v"; echo -n "$got "; done)" "full full " "$2: handshakes are completed"
    is "$(fate "$port" "$1")" "$3" "$2: … and with a ticket"
    waits_not "$begun" "$port"; ok $? "$2: … without waiting"
}

# ---- no randomness ------------------------------------------------------------------------------------

start plain ''
plain=$port
start mlock mlock
after mlock "mlock refused: tickets resume"
is "$(log_of mlock 'may be swapped out')" 1 "… and a line says that keys may be swapped out, once"
start random random
works mlock "no randomness since the start" "$neither"
failures=$(counter "$port" failures)
[ "$failures" -gt 0 ]; ok $? "no randomness since the start: … counted as $failures failures"
faults random ''
after random "randomness is back: tickets resume"
faults random random
is "$(fate "$port" random)" "$both" "no randomness later: tickets of before resume, under salts that a thread has"
# A child draws its own, which it cannot.
worker "$port"
shake "$port" 1.3
is "$got $tickets" "full 0" "no randomness later: in a child, which needs a salt of its own, there is no ticket"
[ "$(counter "$port" failures)" -gt "$failures" ]; ok $? "… which is counted"
faults random ''
after random "… until there is some"

# ---- no memory -----------------------------------------------------------------------------------------

start map map
works mlock "no pages for keys" "$neither"
[ "$(counter "$port" failures)" -gt 0 ]; ok $? "no pages for keys: … counted"
faults map ''
after map "pages for keys: tickets resume"

# ---- no descriptors ---------------------------------------------------------------------------------------

mkdir -m 700 "$work/keys"
state=$work/keys/state
"$command" state init "$state" >"$work/out"
start fd '' "TICKETSHIM_STATE=$state" "TICKETSHIM_STATS=$work/fd.stats"
get "$port" fd
# Room for the connection, and for nothing else.
free=0
while [ -e "/proc/$pid/fd/$free" ]; do free=$((free + 1)); done
prlimit --pid "$pid" --nofile=$((free + 1)):1024
"$command" state reseed "$state" >"$work/out"
sleep 1.1
works fd "no descriptors" "$both"
is "$(published fd reloads)" 0 "no descriptors: … a state file that was replaced is not seen"
prlimit --pid "$pid" --nofile=1024:1024
sleep 1.1
is "$(fate "$port" fd)" "$both" "descriptors: tickets of before resume"
is "$(published fd reloads)" 1 "descriptors: … and the file is seen"
is "$(published fd failures)" 0 "… and nothing of it was a failure"

# ---- what becomes of the state file while it is in use ----------------------------------------------------------

start file '' "TICKETSHIM_STATE=$state" "TICKETSHIM_STATS=$work/file.stats"
get "$port" file
cp -p "$state" "$work/keys/copy"
replaced() { # replaced DESCRIPTION REFUSALS COMMAND…: by that; counted that many times in all
    local what=$1 refusals=$2
    shift 2
    { rm -rf "$state" && "$@"; } || bail "cannot make $what"
    sleep 1.1
    works file "the state file is $what" "$both"
    is "$(published file state_refusals)" "$refusals" "the state file is $what: … counted once"
    rm -rf "$state" && cp -p "$work/keys/copy" "$state"
    sleep 1.1
    shake "$port" 1.3
}
replaced "a FIFO" 1 mkfifo -m 600 "$state"
replaced "a directory" 2 mkdir -m 700 "$state"
replaced "a gigabyte long" 3 bash -c "umask 077; truncate -s 1G '$state'"
replaced "somebody's link" 4 bash -c "ln -s '$work/keys/copy' '$state'; [ \$(id -u) -ne 0 ] || chown -h 65534 '$state'"
replaced "empty" 5 bash -c "umask 077; : >'$state'"
replaced "noise" 6 bash -c "umask 077; head -c 400 /dev/urandom >'$state'"
replaced "open to all" 7 bash -c "cp '$work/keys/copy' '$state'; chmod 644 '$state'"
replaced "a device" 8 mknod -m 600 "$state" c 1 5
after file "it is a state file again: tickets resume"
is "$(published file failures)" 0 "… and nothing of it was a failure"
for kind in 'a FIFO:mkfifo -m 600' 'a directory:mkdir -m 700' 'a gigabyte long:truncate -s 1G' 'a device:mknod -m 600 %s c 1 5'; do
    make=${kind#*:} other=$work/keys/other
    rm -rf "$other"
    # shellcheck disable=SC2059,SC2046,SC2091 # words of a command
    case $make in *%s*) $(printf "$make" "$other") ;; *) $make "$other" ;; esac
    begun=$SECONDS
    start other '' "TICKETSHIM_STATE=$other"
    after other "the state file is ${kind%%:*} from the start: keys of its own"
    waits_not "$begun" "$port"; ok $? "… without waiting"
    [ "$(log_of other 'state file refused')" -ge 1 ]; ok $? "… and a line says so"
    rm -f "$work/other.err"
done

# ---- disks ---------------------------------------------------------------------------------------------------------

disk() { # disk DESCRIPTION DIRECTORY: where nothing can be written
    start disk "${3:-}" "TICKETSHIM_STATE=$2/state" "TICKETSHIM_STATS=$2/stats"
    after disk "$1: tickets resume under keys of its own"
    # Where nothing can be written, the log cannot either.
    [ -n "${3:-}" ] || is "$(log_of disk 'state file refused')" 1 "$1: … and a line says so, once"
    ls -A "$2" >"$work/left"
    is "$(grep -c state "$work/left")" 0 "$1: … and no part of a state file is left"
    rm -f "$work/disk.err"
}
mkdir -m 700 "$work/small" "$work/readonly" "$work/broken"
disk "writing fails" "$work/broken" disk
under=(prlimit --fsize=64 --)
disk "no file may be longer than 64 bytes" "$work/broken"
under=()
if mount -t tmpfs -o size=16k,mode=700 ticketshim-test "$work/small" 2>"$work/mount.err"; then
    mounted+=("$work/small")
    head -c 64K /dev/zero >"$work/small/full" 2>/dev/null
    disk "the disk is full" "$work/small"
    mount -t tmpfs -o size=64k,mode=700,ro ticketshim-test "$work/readonly" && mounted+=("$work/readonly")
    disk "the file system is read-only" "$work/readonly"
    # A file that is there is enough to serve.
    mount -o remount,rw "$work/readonly" && cp -p "$work/keys/copy" "$work/readonly/state" && mount -o remount,ro "$work/readonly"
    start readonly '' "TICKETSHIM_STATE=$work/readonly/state"
    get "$port" readonly
    stop "$pid"
    start readonly '' "TICKETSHIM_STATE=$work/readonly/state"
    is "$(fate "$port" readonly)" "$both" "read-only, with a state file: tickets resume after a restart"
    is "$(log_of readonly 'state file refused')" 0 "… and nothing is refused"
else
    skip "mounting is not allowed here: $(cat "$work/mount.err")" "full disk, read-only file system"
fi

# ---- a clock that is set every second --------------------------------------------------------------------------------

"$command" state init "$work/keys/clock" >"$work/out"
start clock '' "TICKETSHIM_STATE=$work/keys/clock" "TICKETSHIM_STATS=$work/clock.stats"
get "$port" clock
# shellcheck disable=SC2191 # not indices: what set_clock takes
broken=0 resumed=0 steps=(0 3600 -3600 604800 =0 =9223372036 -1800 0)
# shellcheck disable=SC2191
[ -n "${TS_SHORT:-}" ] || steps+=(86400 -86400 7200 -604800 31536000 -31536000 =1 =4294967295 =4294967296 1800 59 -59)
for step in "${steps[@]}"; do
    case $step in =* | -*) ;; *) step=+$step ;; esac
    set_clock clock "$step"
    sleep 1.02
    for v in "${versions[@]}"; do
        shake "$port" "$v" "save=$(ticket step "$v")"
        [ "$got" = full ] || { broken=$((broken + 1)); echo "# $step: $got"; }
        shake "$port" "$v" "offer=$(ticket step "$v")"
        case $got in resumed) resumed=$((resumed + 1)) ;; full) ;; *) broken=$((broken + 1)); echo "# $step: $got" ;; esac
        shake "$port" "$v" "offer=$(ticket clock "$v")"
        case $got in resumed | full) ;; *) broken=$((broken + 1)); echo "# $step: $got" ;; esac
    done
done
is "$broken" 0 "a clock that is set every second: no handshake fails"
is "$resumed" $((${#steps[@]} * 2)) "… and each ticket resumes in the second that it was made in"
is "$(published clock failures)" 0 "… and there is no failure"
after clock "… and when it is right again, tickets resume"
finished
