# lib.sh: for the scripts in this directory, which are TAP and run by prove.
#
#   TICKETSHIM_LIB=…   the library   (target/release/libticketshim.so)
#   TICKETSHIM_BIN=…   the command   (target/release/ticketshim)
#   CI=true            a skipped test is a failed one
#
# Servers run under the library, clients without it. What a script starts is
# ended by it, by number, when it ends.
# shellcheck shell=bash disable=SC2034,SC2015 # what is set here is used by the scripts; A && B || bail is meant
set -u
export LC_ALL=C OPENSSL_CONF=/dev/null
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 2
root=$(cd "$here/../.." && pwd) || exit 2
. "$root/scripts/tap.sh"
lib=$(realpath "${TICKETSHIM_LIB:-$root/target/release/libticketshim.so}")
command=$(realpath "${TICKETSHIM_BIN:-$root/target/release/ticketshim}")
bin=$root/target/sharing/bin
for variable in "${!TICKETSHIM_@}"; do [ "$variable" = TICKETSHIM_CONFIG ] || unset "$variable"; done
unset LD_PRELOAD

[ -f "$lib" ] || bail "no library at $lib (make build)"
[ -x "$command" ] || bail "no command at $command (make build)"
mkdir -p "$bin" && flock "$bin" make -s -C "$here" >"$bin/build.log" 2>&1 || { cat "$bin/build.log" >&2; bail "the programs do not build"; }

# Not under the checkout: another user must be able to reach it, and some paths are too open to hold a state file.
work=$(mktemp -d "${TMPDIR:-/tmp}/ticketshim-test.XXXXXX") && chmod 755 "$work" || bail "no directory to work in"
# Copies, because a build may be under way, and another user is to execute them too.
cp "$lib" "$work/libticketshim.so" && cp "$command" "$work/ticketshim" && cp -r "$bin" "$work/bin" || bail "no space"
lib=$work/libticketshim.so command=$work/ticketshim bin=$work/bin
started=()
finish() {
    local status=$?
    [ ${#started[@]} -eq 0 ] || kill -KILL "${started[@]}" 2>/dev/null
    wait 2>/dev/null
    [ $status -eq 0 ] || for log in "$work"/*.err; do
        tail -n 20 "$log" | sed "s|^|${log##*/}: |" | diag
    done
    rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- time --------------------------------------------------------------------------

# Every server has a clock that the test sets: "+600", "=1900000000", "" for the machine's own.
clock_of() { echo "$work/$1.clock"; }
set_clock() { # set_clock NAME SETTING: written in place, because it is mapped
    printf '%-24s' "$2" 1<>"$(clock_of "$1")"
}
# A time to stop a clock at: far enough from any change of hourly keys for what a test does around it.
noon=$(($(date +%s) / 3600 * 3600 + 1800))

# ---- servers -----------------------------------------------------------------------

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server.test -days 3650 \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null || bail "no certificate"
chmod 644 "$work/key.pem"

# server NAME [NAME=value…] [-- OPTION…]: a server with that environment; sets $port and $pid, and ${ports[i]}, ${pids[i]}
# of its workers. Its stderr is $work/NAME.err. ${as[@]} is put before the command.
as=()
server() {
    local name=$1 settings=() workers=0
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do settings+=("$1"); shift; done
    [ $# -eq 0 ] || shift
    [ -f "$(clock_of "$name")" ] || set_clock "$name" ""
    exec {out}< <(exec env -i "PATH=$PATH" OPENSSL_CONF=/dev/null TICKETSHIM_CONFIG=/dev/null "TS_CLOCK=$(clock_of "$name")" \
        "LD_PRELOAD=$lib $bin/clock.so" ${settings[@]+"${settings[@]}"} \
        ${as[@]+"${as[@]}"} "$bin/server" "$work/cert.pem" "$work/key.pem" "$@" 2>>"$work/$name.err" </dev/null)
    read_ports || bail "server $name did not start: $(cat "$work/$name.err")"
    [[ " $* " =~ " workers="([0-9]+) ]] && workers=${BASH_REMATCH[1]}
    local main_port=$port main_pid=$pid i
    ports=() pids=()
    for ((i = 0; i < workers; i++)); do
        read_ports || bail "worker $i of server $name did not start"
        ports+=("$port") pids+=("$pid")
    done
    port=$main_port pid=$main_pid
    exec {out}<&-
}
read_ports() { # a line of a server that says where it is
    local line
    read -r -t 20 line <&"$out" && said_ports "$line"
}
said_ports() { # "port=N pid=N"
    [[ $1 =~ ^port=([0-9]+)\ pid=([0-9]+)$ ]] || return 1
    port=${BASH_REMATCH[1]} pid=${BASH_REMATCH[2]}
    started+=("$pid")
}
stop() { # stop PID
    kill -KILL "$1" 2>/dev/null
    while kill -0 "$1" 2>/dev/null; do sleep 0.01; done
}
free_port() { # sets $port to one that is for this test alone, for servers that cannot choose one themselves
    port=$("$root/scripts/free-port") || bail "no free port"
}
ask() { # ask PORT ORDER: prints the answer
    local answer
    exec {control}<>"/dev/tcp/127.0.0.1/$1" && echo "$2" >&"$control" && read -r -t 20 answer <&"$control"
    exec {control}<&-
    echo "${answer:-no answer}"
}
worker() { # worker PORT: a new worker of that server; sets $port and $pid
    said_ports "$(ask "$1" fork)" || bail "no worker"
}
counter() { # counter PORT NAME; -1 where the library is not loaded
    local all
    all=$(ask "$1" stats)
    [[ " $all" =~ " $2="([0-9]+) ]] && echo "${BASH_REMATCH[1]}" || echo -1
}
published() { # published NAME COUNTER: of all processes of the server that was started with TICKETSHIM_STATS=$work/NAME.stats
    "$command" stats --json "$work/$1.stats" 2>&1 | sed -n "/\"families\"/q; s/^ *\"$2\": \([0-9]*\),*\$/\1/p"
}
log_of() { # log_of NAME [PATTERN]: how many of its lines have that
    grep -c -- "${2:-ticketshim:}" "$work/$1.err"
}

# ---- clients -----------------------------------------------------------------------

# shake PORT VERSION [offer=FILE] [save=FILE] [name=SNI]: one handshake; sets $got ("full", "resumed" or "failed …"),
# $tickets, $key, $salt, and $by and $image (what server.c says of itself).
shake() {
    local line
    line=$("$bin/client" "$@")
    got=$line tickets='' key='' salt='' by='' image=''
    if [[ $line =~ ^(full|resumed)\ tickets=([0-9]+)\ key=([0-9a-f-]+)\ salt=([0-9a-f-]+)(\ pid=([0-9]+)\ image=([0-9]+))? ]]; then
        got=${BASH_REMATCH[1]} tickets=${BASH_REMATCH[2]} key=${BASH_REMATCH[3]} salt=${BASH_REMATCH[4]}
        by=${BASH_REMATCH[6]} image=${BASH_REMATCH[7]}
    fi
}
versions=(1.2 1.3)
ticket() { echo "$work/$1.$2.pem"; } # ticket NAME VERSION: where a test keeps one
# get PORT NAME: a ticket of each version by a full handshake, kept as NAME.
get() {
    local v all=''
    for v in "${versions[@]}"; do
        shake "$1" "$v" "save=$(ticket "$2" "$v")"
        all="$all$v $got, "
    done
    [ "$all" = "1.2 full, 1.3 full, " ] || is "$all" "1.2 full, 1.3 full, " "tickets for $2"
}
# fate PORT NAME: what becomes of those tickets there, as "1.2 resumed, 1.3 resumed".
fate() {
    local v all=''
    for v in "${versions[@]}"; do
        shake "$1" "$v" "offer=$(ticket "$2" "$v")"
        all="$all${all:+, }$v $got"
    done
    echo "$all"
}
both='1.2 resumed, 1.3 resumed' neither='1.2 full, 1.3 full'
