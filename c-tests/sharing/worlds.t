#!/usr/bin/env bash
# Ways of a process that no plain server has: each handshake is one, and tickets resume, by the core.
. "$(dirname "$0")/lib.sh"

# works NAME DESCRIPTION: the server there works, by the core.
works() {
    local before
    before=$(counter "$port" opened)
    get "$port" "$1"
    is "$(fate "$port" "$1") $(($(counter "$port" opened) - before))" "$both 2" "$2"
}

# ---- how the dynamic linker is told ----------------------------------------------------------

for how in LD_BIND_NOW=1 LD_BIND_NOT=1 "LD_AUDIT=$bin/audit.so"; do
    server linker "$how"
    works linker "${how%%=*}"
    [[ $how != LD_AUDIT* ]] || { grep -q /audit.so "/proc/$pid/maps"; ok $? "… which is loaded"; }
    stop "$pid"
done
# Not by the environment: as an argument of the dynamic linker itself.
interpreter=$(LC_ALL=C readelf -l "$bin/server" | sed -n 's/.*interpreter: \(.*\)]/\1/p')
as=(env -u LD_PRELOAD "$interpreter" --preload "$lib $bin/clock.so")
server argument
works argument "ld.so --preload"
as=()

# ---- locales in which i is not I --------------------------------------------------------------

# What programs set by setlocale() is not the library's; what is in the environment is read by nobody of ours.
server turkish LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8 TICKETSHIM_ROTATE=1h TICKETSHIM_MODE=enforce TICKETSHIM_LOG=WARN
works turkish "LC_ALL=tr_TR.UTF-8"
is "$(log_of turkish)" 0 "… and settings are read as ever"

# ---- limits that change while it runs ------------------------------------------------------------

mkdir -m 700 "$work/limits"
set_clock limits "=$noon"
server limits "TICKETSHIM_STATE=$work/limits/state" -- timeout=86400
get "$port" limits
prlimit --pid "$pid" --memlock=0 --core=unlimited --stack=65536 --fsize=0
set_clock limits "=$((noon + 3600))"
is "$(fate "$port" limits), $(counter "$port" opened)" "$both, 2" "prlimit: nothing may be locked, and keys rotate all the same"
works limits "… and tickets resume"
is "$(counter "$port" failures)" 0 "… without a failure"

# ---- stopped for longer than a ticket lives --------------------------------------------------------

set_clock frozen "=$noon"
server frozen -- timeout=43200
get "$port" frozen
kill -STOP "$pid"
set_clock frozen "=$((noon + 100 * 3600))"
kill -CONT "$pid"
is "$(fate "$port" frozen), $(counter "$port" expired)" "$neither, 2" "a process that was stopped for four days: what is over does not resume"
works frozen "… and what is new does"
is "$(log_of frozen)" 0 "… without a line"

# ---- DTLS over UDP, with cookies ---------------------------------------------------------------------

free_port
TICKETSHIM_STATS=$work/dtls.stats LD_PRELOAD=$lib openssl s_server -dtls1_2 -listen -quiet -accept "127.0.0.1:$port" \
    -cert "$work/cert.pem" -key "$work/key.pem" <>/dev/zero >"$work/dtls.out" 2>"$work/dtls.err" &
started+=("$!")
# dtls OPTION…: "New" or "Reused"; the server may not be there yet.
dtls() {
    local _ said
    for _ in {1..20}; do
        said=$(sleep 1 | timeout 10 openssl s_client -dtls1_2 -connect "127.0.0.1:$port" "$@" 2>/dev/null | sed -n 's/^\(New\|Reused\), TLS.*/\1/p')
        [ -z "$said" ] || break
    done
    echo "$said"
}
is "$(dtls -sess_out "$work/dtls.pem")" New "DTLS over UDP, with a cookie: a ticket"
is "$(dtls -sess_in "$work/dtls.pem")" Reused "… which resumes"
is "$(published dtls sealed), $(published dtls opened)" "1, 1" "… by the core"

# ---- looked at by a debugger --------------------------------------------------------------------------

if command -v gdb >/dev/null; then
    server traced
    gdb -p "$pid" -batch -ex 'info threads' -ex detach >"$work/gdb.out" 2>&1
    works traced "a debugger was attached, and went"
    # And while it is: as strace does, which stops it at each call.
    if command -v strace >/dev/null; then
        strace -qq -f -o "$work/strace.out" -p "$pid" &
        tracer=$!
        started+=("$tracer")
        for _ in {1..200}; do grep -q '^TracerPid:[[:space:]]*[1-9]' "/proc/$pid/status" && break; sleep 0.05; done
        works traced "… and while each of its system calls is traced"
        kill "$tracer"
    fi
else
    skip "no gdb (Debian: gdb)" "a debugger"
fi
finished
