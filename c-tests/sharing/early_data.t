#!/usr/bin/env bash
# Early data (0-RTT) at nginx with four workers: an honest client's, the same recorded and replayed, at a second server with a
# copy of the state file, after a reload and after a restart. What nginx did with a request is in its access log.
. "$(dirname "$0")/lib.sh"
nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || { skip "no nginx (Debian: nginx-light)" "nginx"; finished; }

mkdir -m 700 "$work/keys"
declare -A master=()
end_nginx() {
    local status=$? one
    for one in ${master[@]+"${master[@]}"}; do kill -TERM "$one" 2>/dev/null; done
    for one in ${master[@]+"${master[@]}"}; do
        for _ in {1..100}; do [ -d "/proc/$one" ] || break; sleep 0.05; done
    done
    (exit "$status")
}
trap 'end_nginx; finish' EXIT
# start NAME [NAME=value…]: an nginx with that environment (for stock: LD_PRELOAD=); sets $port.
start() {
    local name=$1 dir=$work/$1
    shift
    if [ ! -d "$dir" ]; then
        mkdir "$dir"
        free_port
        cat >"$dir/nginx.conf" <<END
worker_processes 4;
pid $dir/nginx.pid;
error_log $dir/nginx.err notice;
events { worker_connections 64; }
http {
    log_format paths '\$request_uri';
    access_log $dir/access.log paths;
    client_body_temp_path $dir/1; proxy_temp_path $dir/2; fastcgi_temp_path $dir/3; uwsgi_temp_path $dir/4; scgi_temp_path $dir/5;
    server {
        listen 127.0.0.1:$port ssl;
        ssl_certificate $work/cert.pem;
        ssl_certificate_key $work/key.pem;
        ssl_protocols TLSv1.3;
        ssl_early_data on;
        return 200 "here\n";
    }
}
END
        echo "$port" >"$dir/port"
    fi
    port=$(<"$dir/port")
    env "LD_PRELOAD=$lib" "TICKETSHIM_STATE=$work/keys/state" "TICKETSHIM_STATS=$dir/stats" "$@" \
        "$nginx" -c "$dir/nginx.conf" -p "$dir" 2>>"$work/$name.err" || bail "nginx $name does not start"
    for _ in {1..200}; do [ -s "$dir/nginx.pid" ] && break; sleep 0.05; done
    master[$name]=$(<"$dir/nginx.pid")
}
stop_nginx() { # stop_nginx NAME
    kill -TERM "${master[$1]}"
    for _ in {1..200}; do [ -d "/proc/${master[$1]}" ] || break; grep -q "^State:.*Z" "/proc/${master[$1]}/status" 2>/dev/null && break; sleep 0.05; done
    unset "master[$1]"
    rm -f "$work/$1/nginx.pid"
}
reload() { # reload NAME: until the workers of before are gone
    local before
    before=$(pgrep -P "${master[$1]}" -d ,)
    kill -HUP "${master[$1]}"
    for _ in {1..200}; do
        [ -z "$before" ] || ps -o stat= -p "$before" | grep -qv Z || return
        sleep 0.05
    done
    bail "the workers of $1 do not go"
}
# served NAME PATH [N]: how often that server has answered PATH: to an attacker, who cannot end the handshake, out of early data
# alone. Waits until it is N, because nginx logs a request when it is over.
served() {
    local n
    for _ in {1..40}; do
        n=$(grep -c "^$2\$" "$work/$1/access.log")
        [ "$n" = "${3:-$n}" ] && break
        sleep 0.05
    done
    echo "$n"
}
early() { "$bin/early" "$port" "$@"; }
count() { "$command" stats --json "$work/$1/stats" 2>&1 | sed -n "/\"families\"/q; s/^ *\"$2\": \([0-9]*\),*\$/\1/p"; }
declined() { count "$1" early_data_declined; }
# replays NAME AGAIN: early data, recorded and replayed ten times, is answered so many times more.
replays() {
    early get "$work/$1.session" >"$work/got"
    is "$(<"$work/got")" full "$1: a full handshake"
    is "$(early send "$work/$1.session" /pay "$work/$1.flight")" "resumed accepted" "$1: an honest client's early data is accepted"
    is "$(served "$1" /pay 1)" 1 "$1: … and answered"
    early replay "$work/$1.flight" 10
    is "$(served "$1" /pay $((1 + $2)))" $((1 + $2)) "$1: replayed ten times, it is answered $2 times more"
}

start stock LD_PRELOAD=
replays stock 10
reload stock
is "$(early send "$work/stock.session" /reloaded "$work/flight")" "full declined" "stock: after a reload there is nothing to resume"
stop_nginx stock

start own
replays own 10
is "$(declined own)" 0 "own: nothing is declined in the server that sealed it"
own_port=$port
start host2
is "$(early send "$work/own.session" /host2 "$work/flight")" "resumed declined" "own: at another host the session resumes, early data is declined"
early replay "$work/own.flight" 10
is "$(served host2 /pay)" 0 "own: what was recorded at the one is nothing at the other"
is "$(declined host2)" 11 "own: … and that is counted"
stop_nginx host2
port=$own_port
reload own
is "$(early send "$work/own.session" /reloaded "$work/flight")" "resumed declined" "own: so it is after a reload"
early replay "$work/own.flight" 10
is "$(served own /pay)" 11 "own: … where nothing more is answered"
stop_nginx own
start own
is "$(early send "$work/own.session" /restarted "$work/flight")" "resumed declined" "own: and after a restart"
is "$(early get "$work/own.session")" full "own: with a ticket of its own"
is "$(early send "$work/own.session" /new "$work/flight")" "resumed accepted" "own: … early data is accepted again"
stop_nginx own

start once TICKETSHIM_EARLY_DATA=once
replays once 0
is "$(declined once)" 10 "once: and ten are counted"
is "$(early send "$work/once.session" /again "$work/flight")" "resumed declined" "once: the same ticket again is declined"
is "$(early get "$work/once.session")" full "once: with another ticket"
is "$(early send "$work/once.session" /other "$work/flight")" "resumed accepted" "once: … it is accepted"
stop_nginx once

start never TICKETSHIM_EARLY_DATA=never
early get "$work/never.session" >"$work/got"
is "$(early send "$work/never.session" /pay "$work/flight")" "resumed declined" "never: declined"
early replay "$work/flight" 10
is "$(served never /pay) $(declined never)" "1 11" "never: … each time; what the client sends again is answered"
stop_nginx never

# Both at once: what is recorded is good for ten seconds.
start host3 TICKETSHIM_EARLY_DATA=any
host3_port=$port
start any TICKETSHIM_EARLY_DATA=any
replays any 10
port=$host3_port
early replay "$work/any.flight" 10
is "$(served host3 /pay 10)" 10 "any: at another host, what was recorded at the first is answered again"
is "$(early send "$work/any.session" /host3 "$work/flight")" "resumed accepted" "any: … and an honest client's early data accepted"
finished
