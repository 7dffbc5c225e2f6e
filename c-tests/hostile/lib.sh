# shellcheck disable=SC2015 # A && B || bail is meant
# lib.sh: for the scripts in this directory: those of ../sharing/lib.sh, and real servers on top.
# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is used by the scripts
hostile=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 2
. "$hostile/../sharing/lib.sh"
programs=$root/target/hostile/bin
mkdir -p "$programs" && flock "$programs" make -s -C "$hostile" >"$programs/build.log" 2>&1 || { cat "$programs/build.log" >&2; bail "the programs do not build"; }
nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || bail "no nginx (Debian: nginx)"

# listens PORT PID: waits until it does.
listens() {
    for _ in {1..200}; do
        (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        kill -0 "$2" 2>/dev/null || return
        sleep 0.05
    done
    return 1
}
# nginx NAME WORKERS LINES [NAME=value…]: with two hosts, a.test and b.test, and those lines beside them; under the
# library unless ${preload} is empty. Sets $port and $pid, of the master.
preload=$lib
start_nginx() {
    local name=$1 workers=$2 lines=$3 variable
    shift 3
    mkdir -p "$work/$name.prefix"
    free_port
    {
        for variable in LD_PRELOAD TICKETSHIM_CONFIG "${@%%=*}"; do echo "env $variable;"; done
        cat <<END
user nobody nogroup;
worker_processes $workers;
daemon off;
pid $work/$name.pid;
error_log $work/$name.err notice;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $work/$name.prefix/1; proxy_temp_path $work/$name.prefix/2;
    fastcgi_temp_path $work/$name.prefix/3; uwsgi_temp_path $work/$name.prefix/4; scgi_temp_path $work/$name.prefix/5;
    ssl_certificate $work/cert.pem;
    ssl_certificate_key $work/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    keepalive_timeout 0;
    $lines
    server { listen 127.0.0.1:$port ssl backlog=1024; server_name a.test; return 200 "a\n"; }
    server { listen 127.0.0.1:$port ssl; server_name b.test; return 200 "b\n"; }
}
END
    } >"$work/$name.conf"
    chmod 755 "$work/$name.prefix"
    env ${preload:+"LD_PRELOAD=$preload"} "$@" "$nginx" -c "$work/$name.conf" -p "$work/$name.prefix" 2>"$work/$name.start.err" </dev/null &
    pid=$!
    nginx_pids+=("$pid")
    listens "$port" "$pid" && kill -0 "$pid" 2>/dev/null || bail "nginx $name did not start: $(cat "$work/$name".*err)"
}
# A master that is killed leaves its workers, so it is asked to go.
nginx_pids=() mounted=()
end_servers() {
    local status=$? master
    for master in ${nginx_pids[@]+"${nginx_pids[@]}"}; do
        kill -TERM "$master" 2>/dev/null && for _ in {1..100}; do kill -0 "$master" 2>/dev/null || break; sleep 0.05; done
    done
    [ ${#mounted[@]} -eq 0 ] || umount -l "${mounted[@]}"
    (exit "$status")
}
trap 'end_servers; finish' EXIT

# s_server NAME [NAME=value…] [-- OPTION…]: OpenSSL's own, that answers HTTP. Sets $port and $pid.
start_s_server() {
    local name=$1 settings=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do settings+=("$1"); shift; done
    [ $# -eq 0 ] || shift
    for _ in 1 2 3 4 5; do
        free_port
        env ${preload:+"LD_PRELOAD=$preload"} ${settings[@]+"${settings[@]}"} openssl s_server -accept "127.0.0.1:$port" \
            -cert "$work/cert.pem" -key "$work/key.pem" -www -no_cache "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
        pid=$!
        for _ in {1..100}; do
            grep -qs ACCEPT "$work/$name.out" && started+=("$pid") && return
            kill -0 $pid 2>/dev/null || break
            sleep 0.05
        done
        kill $pid 2>/dev/null
    done
    bail "s_server $name did not start: $(cat "$work/$name.err")"
}
worker_of() { pgrep -P "$1" | sort -n | head -n 1; }
memory() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; } # in KiB
descriptors() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
# part LINE NAME: the number of NAME in "name=number name=number".
part() { [[ " $1" =~ " $2="([0-9]+) ]] && echo "${BASH_REMATCH[1]}" || echo -1; }
