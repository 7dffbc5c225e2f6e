#!/usr/bin/env bash
# Servers in worlds that are not a plain machine: limits, other preloads in either order, no /proc, a read-only root, a full
# /dev/shm, closed descriptors. In each, tickets resume by the core as anywhere.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || bail "this test is run as root"
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --)
mkdir -m 700 "$work/keys"
"$command" state init "$work/keys/state" >"$work/out"

# in_world NAME DESCRIPTION [NAME=value…]: a server there, started as ${as[@]} says.
in_world() {
    local before
    server "$1" "${@:3}"
    before=$(counter "$port" opened)
    get "$port" "$1"
    is "$(fate "$port" "$1") $(($(counter "$port" opened) - before))" "$both 2" "$2: tickets resume"
    worker "$port"
    is "$(fate "$port" "$1")" "$both" "$2: … at a worker too"
    stop "$pid"
}

# ---- limits ---------------------------------------------------------------------------------------------------------

as=(prlimit --as=268435456 --)
in_world as "256 MiB of address space" "TICKETSHIM_STATE=$work/keys/state"
as=("${nobody[@]}" prlimit --memlock=0 --)
in_world memlock "no locked memory"
is "$(log_of memlock 'may be swapped out')" 1 "… and a line says so, once"
as=("${nobody[@]}" prlimit --nproc=0 --)
server nproc
get "$port" nproc
is "$(fate "$port" nproc)" "$both" "no processes: tickets resume"
as=(prlimit --fsize=0 --)
in_world fsize "no file may grow" "TICKETSHIM_STATE=$work/keys/state" "TICKETSHIM_STATS=$work/keys/stats"
as=()

# ---- other preloads --------------------------------------------------------------------------------------------------

library() { # library NAME: sets $other to where it is
    other=$(find /usr/lib /usr/lib64 /lib -name "$1" 2>/dev/null | sort | head -n 1)
    [ -n "$other" ]
}
beside() { # beside NAME LIBRARY [NAME=value…]: preloaded before and after
    local name=$1 order
    if ! library "$2"; then
        skip "no $2" "$name"
        return
    fi
    for order in "$lib $other" "$other $lib"; do
        as=(env "LD_PRELOAD=$order" "${@:3}")
        in_world "$name" "$name, preloaded $([ "${order%% *}" = "$lib" ] && echo after || echo before) the library" \
            "TICKETSHIM_STATE=$work/keys/state"
        rm -f "$work/$name.err"
    done
    as=()
}
beside jemalloc 'libjemalloc.so.2'
beside tcmalloc 'libtcmalloc_minimal.so.4'
beside mimalloc 'libmimalloc.so.2*'
beside eatmydata 'libeatmydata.so*'
beside faketime 'libfaketime.so.1' FAKETIME=+90s FAKETIME_DONT_FAKE_MONOTONIC=1

# ---- file systems ---------------------------------------------------------------------------------------------------------

# Made outside of the server's own namespace, then gone from it.
# shellcheck disable=SC2016 # for the inner shell
mounts() { as=(unshare -m sh -c "$1"' && exec "$@"' sh); }
if unshare -m true 2>/dev/null; then
    mounts 'mount -t tmpfs none /proc'
    in_world proc "no /proc" "TICKETSHIM_STATE=$work/keys/state" "TICKETSHIM_STATS=$work/keys/proc-stats"
    mounts 'mount -o remount,bind,ro /'
    in_world readonly "a read-only root" "TICKETSHIM_STATE=$work/keys/state"
    is "$(log_of readonly)" 0 "… without a word"
    mounts 'mount -t tmpfs -o size=4k none /dev/shm && { head -c 1M /dev/zero >/dev/shm/full 2>/dev/null || true; }'
    in_world shm "a full /dev/shm" "TICKETSHIM_STATE=$work/keys/state" "TICKETSHIM_STATS=$work/keys/shm-stats"
else
    skip "namespaces are not allowed here" "no /proc, a read-only root, a full /dev/shm"
fi

# ---- descriptors ------------------------------------------------------------------------------------------------------------

cp -p "$work/keys/state" "$work/copy"
# shellcheck disable=SC2016 # for the inner shell
as=(sh -c 'exec "$@" <&- 2>&-' sh)
in_world closed "descriptors 0 and 2 are closed" "TICKETSHIM_STATE=$work/keys/state" "TICKETSHIM_STATS=$work/keys/closed-stats" \
    TICKETSHIM_BIND=nonsense TICKETSHIM_LOG=info
cmp -s "$work/keys/state" "$work/copy"; ok $? "… and nothing was written into the state file"
finished
