#!/usr/bin/env bash
# Servers that make their handshakes in OpenSSL's async jobs, on stacks of 32 KiB from the heap: s_server and HAProxy, full
# and resumed, while keys change each second and the state file is replaced under them.
. "$(dirname "$0")/lib.sh"

# So many times a ticket is got, and offered in another second.
rounds=${TS_ROUNDS:-3}
library() { # library NAME: sets ${setting[@]} for a server of that name
    mkdir -m 700 "$work/$1" || bail "no directory"
    "$command" state init --rotate 1s --accept 1m "$work/$1/state" >"$work/$1.init" 2>&1 || bail "$(cat "$work/$1.init")"
    # Tickets outlive their keys, which is a line on stderr with the first of them: it too is written in a job.
    setting=("LD_PRELOAD=$lib" "TICKETSHIM_STATE=$work/$1/state" "TICKETSHIM_STATS=$work/$1.stats" TICKETSHIM_LOG=info)
}
# started_as NAME COMMAND…: starts a server with ${setting[@]} that listens on $port, by its own choice of port.
started_as() {
    local name=$1
    env ${setting[@]+"${setting[@]}"} "${@:2}" >>"$work/$name.out" 2>>"$work/$name.err" </dev/null &
    pid=$!
    started+=("$pid")
    for _ in {1..200}; do
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}
s_server() { # s_server NAME
    for _ in 1 2 3; do
        free_port
        started_as "$1" openssl s_server -async -accept "127.0.0.1:$port" -cert "$work/cert.pem" -key "$work/key.pem" \
            -rev -no_cache -id_prefix ts && return
    done
    bail "s_server did not start: $(cat "$work/$1.err")"
}
haproxy() { # haproxy NAME
    for _ in 1 2 3; do
        free_port
        cat >"$work/$1.cfg" <<END
global
    ssl-mode-async
    tune.ssl.cachesize 0
defaults
    mode http
    timeout client 20s
    timeout server 20s
    timeout connect 20s
frontend f
    bind 127.0.0.1:$port ssl crt $work/both.pem
    http-request return status 200 content-type text/plain string "ok\n"
END
        started_as "$1" "$haproxy" -db -f "$work/$1.cfg" && return
    done
    bail "HAProxy did not start: $(cat "$work/$1.err")"
}
serves() { # serves NAME: what it does, alone or under the library
    local resumed=0
    for ((i = 0; i < rounds; i++)); do
        get "$port" "$1"
        sleep 1.1
        [ "$(fate "$port" "$1")" != "$both" ] || resumed=$((resumed + 1))
        # Another chain: what was sealed under the one before still opens.
        [ ! -e "$work/$1/state" ] || "$command" state announce --use-at +1s "$work/$1/state" >>"$work/$1.init" 2>&1
    done
    is "$resumed" "$rounds" "$1: full and resumed, TLS 1.2 and 1.3, in another second each"
    kill -0 "$pid" 2>/dev/null
    ok $? "$1: … and it is still there"
}
used() { # used NAME: that this was the core
    [ "$(published "$1" sealed)" -ge $((rounds * 3)) ] && [ "$(published "$1" opened)" -ge $((rounds * 2)) ]
    ok $? "$1: its tickets were the core's" "$(published "$1" sealed) sealed, $(published "$1" opened) opened"
    [ "$(published "$1" epochs)" -ge "$rounds" ] && [ "$(published "$1" reloads)" -ge 1 ]
    ok $? "$1: … under changing keys, and of changing files" "$(published "$1" epochs) epochs, $(published "$1" reloads) reloads"
    is "$(published "$1" failures)" 0 "$1: … without a failure"
}

cat "$work/cert.pem" "$work/key.pem" >"$work/both.pem"
setting=()
s_server "s_server, stock"
serves "s_server, stock"
library s_server
s_server s_server
serves s_server
used s_server

if haproxy=$(PATH=$PATH:/usr/sbin command -v haproxy); then
    # Built without it, or for another libssl: nothing to see.
    setting=()
    haproxy "haproxy, stock"
    serves "haproxy, stock"
    library haproxy
    haproxy haproxy
    serves haproxy
    used haproxy
else
    skip "no haproxy (Debian: haproxy)" "HAProxy with ssl-mode-async"
fi
finished
