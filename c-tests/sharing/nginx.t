#!/usr/bin/env bash
# A real server: nginx that reloads, and that is upgraded without closing its sockets (SIGUSR2). Its workers are nobody's
# and cannot read the state file.
. "$(dirname "$0")/lib.sh"
nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || { skip "no nginx (Debian: nginx-light)" "nginx"; finished; }
[ "$(id -u)" = 0 ] || { skip "needs root, so that workers can drop it" "nginx"; finished; }

mkdir -m 700 "$work/keys"
mkdir "$work/prefix"
free_port
cat >"$work/nginx.conf" <<END
# nginx clears its environment: what the next image of it is to have has to be named.
env LD_PRELOAD;
env TICKETSHIM_STATE;
env TICKETSHIM_CONFIG;
user nobody nogroup;
worker_processes 2;
pid $work/nginx.pid;
error_log $work/nginx.err notice;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $work/prefix/1; proxy_temp_path $work/prefix/2; fastcgi_temp_path $work/prefix/3;
    uwsgi_temp_path $work/prefix/4; scgi_temp_path $work/prefix/5;
    server {
        listen 127.0.0.1:$port ssl;
        ssl_certificate $work/cert.pem;
        ssl_certificate_key $work/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache off;
        return 200 "here\n";
    }
}
END
# Masters are daemons, no children of ours: they are found by their pid file, and end their workers.
first='' second=''
end_nginx() {
    local status=$?
    # shellcheck disable=SC2086 # those that there are
    kill -TERM $first $second 2>/dev/null
    gone "$first" && gone "$second"
    (exit "$status")
}
trap 'end_nginx; finish' EXIT
gone() { # gone PID: waits until it is. Nobody may have collected it yet.
    for _ in {1..100}; do
        [ -z "$1" ] || ! [ -d "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null && return
        sleep 0.05
    done
    return 1
}
master() { # master FILE: its pid, when it is there
    for _ in {1..200}; do
        [ -s "$1" ] && cat "$1" && return
        sleep 0.05
    done
    echo none
}
workers() { pgrep -P "$1" | sort -n | tr '\n' ' '; }
others() { # others MASTER WORKERS: waits until it has two, and none of these
    for _ in {1..200}; do
        [[ $(workers "$1") =~ ^([0-9]+)\ ([0-9]+)\ $ ]] &&
            [[ " $2 " != *" ${BASH_REMATCH[1]} "* && " $2 " != *" ${BASH_REMATCH[2]} "* ]] && return
        sleep 0.05
    done
    return 1
}
env "LD_PRELOAD=$lib" "TICKETSHIM_STATE=$work/keys/state" "$nginx" -c "$work/nginx.conf" -p "$work/prefix" 2>"$work/start.err"
is $? 0 "nginx starts"
first=$(master "$work/nginx.pid")
others "$first" ""; ok $? "… with two workers"
at_first=$(workers "$first")
get "$port" one
# Which worker serves is for the kernel to say: eight handshakes reach both.
eight() { for _ in 1 2 3 4; do fate "$port" "$1"; done | sort -u; }
is "$(eight one)" "$both" "its workers share the keys"
# In the file: the key that it seals under now.
seals_under_it() {
    "$command" state show --json "$work/keys/state" >"$work/show.json" 2>&1
    shake "$port" 1.3 && [ -n "$key" ] && grep -qi "$key" "$work/show.json"
}
is "$(stat -c '%a %U' "$work/keys/state")" "600 root" "the state file is root's alone"

kill -HUP "$first"
others "$first" "$at_first"; ok $? "SIGHUP: other workers"
is "$(eight one)" "$both" "… which open the tickets of those before"

kill -USR2 "$first"
sleep 0.2
for _ in {1..200}; do second=$(master "$work/nginx.pid"); [ "$second" != "$first" ] && break; sleep 0.05; done
[ "$second" != "$first" ]; ok $? "SIGUSR2: another master, of another image"
others "$second" ""; ok $? "… with two workers of its own"
kill -QUIT "$first"
gone "$first"; ok $? "… and the old one goes"
first=''
is "$(eight one)" "$both" "the new one opens the tickets of the old one"
grep -q "$(basename "$lib")" "/proc/$second/maps"; ok $? "… with the library in it"
get "$port" two
seals_under_it; ok $? "… under a key that the state file leads to"

"$command" state announce --use-at +1s "$work/keys/state" >"$work/out"
is "$(eight two)" "$both" "announced: the workers cannot read the file, and go on with the old keys"
at_second=$(workers "$second")
kill -HUP "$second"
others "$second" "$at_second"; ok $? "SIGHUP: other workers"
is "$(eight two)" "$both" "… which still open tickets of the old chain"
seals_under_it; ok $? "… and seal under the new one"
finished
