#!/usr/bin/env bash
# No key in a core dump, no salt twice.
. "$(dirname "$0")/lib.sh"
command -v gcore >/dev/null || bail "no gcore (Debian: gdb)"
command -v python3 >/dev/null || bail "no python3"

# search HOW WHERE NAME: which of $work/NAME.secrets are there; a search that did not work is no "none".
search() { "$here/programs/secrets.py" "$1" "$2" <"$work/$3.secrets" || echo "search failed"; }

# no_key PID NAME DESCRIPTION: of the secrets in $work/NAME.secrets none is in a core dump of that process.
no_key() {
    gcore -o "$work/$2" "$1" >"$work/$2.gcore" 2>&1 || { sed 's/^/# /' "$work/$2.gcore"; ok 1 "gcore"; return; }
    is "$(search find "$work/$2.$1" "$2" | tr '\n' ' ')" "" "$3"
    # A dump that has nothing in it shows nothing: the certificate is in it, and what the control put there.
    local certificate
    certificate=$(openssl x509 -in "$work/cert.pem" -outform DER | od -An -tx1 -v | tr -d ' \n')
    is "$(echo "certificate ${certificate:0:64}" | "$here/programs/secrets.py" find "$work/$2.$1")" certificate "… which has what the server needs"
    rm -f "$work/$2.$1"
}

# ---- a real server, and a file that is known ------------------------------------------------

mkdir -m 700 "$work/known" && file=$work/known/state
# Made three hours ago, so that the window is full of keys that can be derived from the file.
set_clock known -10800
TS_CLOCK=$(clock_of known) LD_PRELOAD=$bin/clock.so "$command" state init --rotate 1h --accept 3h "$file" >"$work/init.out" 2>&1 ||
    sed 's/^/# /' "$work/init.out"
cp "$file" "$work/known/copy"
s_server() { # s_server NAME [NAME=value…]: sets $port and $pid
    local i
    for i in 1 2 3 4 5; do
        free_port
        env "LD_PRELOAD=$lib" "${@:2}" openssl s_server -accept "127.0.0.1:$port" -cert "$work/cert.pem" \
            -key "$work/key.pem" -rev -no_cache -id_prefix ts >"$work/$1.out" 2>"$work/$1.err" </dev/null &
        pid=$!
        for _ in {1..100}; do
            grep -qs ACCEPT "$work/$1.out" && started+=("$pid") && return
            kill -0 $pid 2>/dev/null || break
            sleep 0.05
        done
        kill $pid 2>/dev/null
    done
    bail "s_server did not start: $(cat "$work/$1.err")"
}
s_server known "TICKETSHIM_STATE=$file"
get "$port" known
is "$(fate "$port" known)" "$both" "openssl s_server under the library resumes"
"$here/programs/secrets.py" keys "$work/known/copy" "$(date +%s)" >"$work/all.secrets"
name=$(sed -n 's/^name.* //p' "$work/all.secrets")
shake "$port" 1.3
[[ $name == *$key* ]]; ok $? "its key names are those that the file leads to, computed independently"
grep -v '^name' "$work/all.secrets" >"$work/known.secrets"
[ "$(wc -l <"$work/known.secrets")" -ge 20 ]; ok $? "links, eras, MAC keys and roots are looked for ($(wc -l <"$work/known.secrets") values)"
no_key "$pid" known "none of them is in a core dump of it"

# ---- keys of a process's own ---------------------------------------------------------------------

s_server own
get "$port" own
is "$(fate "$port" own)" "$both" "openssl s_server with keys of its own resumes"
"$here/programs/secrets.py" live "$pid" "$(ticket own 1.3)" >"$work/own.secrets"
like "$(cut -d' ' -f1 "$work/own.secrets" | sort -u | tr '\n' ' ')" "*mac*" "its MAC key is in memory that is not dumped, and fits the ticket"
[ "$(wc -l <"$work/own.secrets")" -ge 2 ]; ok $? "… with the root beside it"
no_key "$pid" own "neither is in a core dump of it"

# ---- the search finds what is there -----------------------------------------------------------------

# A process that does what a careless library would: it keeps the file's bytes in ordinary memory.
(exec python3 -c '
import sys, time
kept = open(sys.argv[1], "rb").read()
print("ready", flush=True)
time.sleep(60)' "$work/known/copy") >"$work/control.out" &
control=$!
started+=("$control")
for _ in {1..100}; do [ -s "$work/control.out" ] && break; sleep 0.05; done
gcore -o "$work/control" "$control" >"$work/null" 2>&1
is "$(search find "$work/control.$control" known | sed 's/\[.*//' | sort -u | tr '\n' ' ')" "era link " \
    "control: in a process that keeps the file's bytes they are found"
rm -f "$work/control.$control"

# ---- what has left the window is gone from memory --------------------------------------------------

# But for the secret of the next era, which leads to no earlier key.

mkdir -m 700 "$work/gone" && file=$work/gone/state
set_clock gone "=$((noon - 7200))"
TS_CLOCK=$(clock_of gone) LD_PRELOAD=$bin/clock.so "$command" state init --rotate 1h --accept 2h "$file" >"$work/out"
"$here/programs/secrets.py" keys "$file" "$noon" | grep -v '^name\|^era' >"$work/gone.secrets"
set_clock gone "=$noon"
server gone "TICKETSHIM_STATE=$file" -- workers=2 timeout=7200
inside() { search inside "$1" gone | sed 's/\[.*//' | sort -u | tr '\n' ' '; }
get "${ports[0]}" gone
get "${ports[1]}" gone
limit=$(ulimit -l)
if [ "$limit" = unlimited ] || [ "$limit" -ge 1024 ]; then
    locked=0
    for p in "$pid" "${pids[@]}"; do
        [ "$(awk '/^VmLck:/ { print $2 }' "/proc/$p/status")" -gt 0 ] && locked=$((locked + 1))
    done
    is $locked 3 "memory is locked in the master, and again in both workers"
else
    skip "ulimit -l is $limit" "memory is locked"
fi
is "$(inside "${pids[0]}")" "link mac root " "the keys of the window are in a worker's memory, locked"
is "$(inside "$pid")" "link " "in its master, which has made no ticket, the chain is"
set_clock gone "=$((noon + 24 * 3600))"
shake "${ports[0]}" 1.3
is "$(inside "${pids[0]}")" "" "a day later, after one handshake, nothing of that window is in its memory, nor a half of it"
fate "${ports[1]}" gone >"$work/out"
is "$(inside "${pids[1]}")" "" "… nor in another worker's, after it was offered a ticket of then"
ask "$port" context >"$work/out"
is "$(inside "$pid")" "" "… nor in the master's, after it has made a context"
is "$(search find "$file" gone)" "" "… nor in the file, which it has advanced"

# ---- salts --------------------------------------------------------------------------------------------

# Half of the workers are forked before the first ticket, half after it.
server salts -- workers=4
all=("${ports[@]}")
master=$port
get "$master" first
for _ in 1 2 3 4; do worker "$master" && all+=("$port"); done
each=${TS_TICKETS:-2500}
for i in "${!all[@]}"; do
    "$bin/client" "${all[i]}" 1.3 "tickets=$each" >"$work/salts.$i" &
    clients[i]=$!
done
wait "${clients[@]}"
cat "$work"/salts.? >"$work/salts"
is "$(grep -cE '^[0-9a-f]{32}$' "$work/salts")" $((8 * (each + 2))) "$((8 * (each + 2))) tickets of 8 workers"
is "$(sort -u "$work/salts" | wc -l)" $((8 * (each + 2))) "… with as many salts"
is "$(cut -c1-24 "$work/salts" | sort -u | wc -l)" 8 "… of 8 instances"
is "$(counter "${all[7]}" failures)" 0 "… and no failure"
finished
