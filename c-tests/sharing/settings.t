#!/usr/bin/env bash
# Every setting, good and bad, by what a real server then does; from the environment and from /etc/ticketshim.toml.
. "$(dirname "$0")/lib.sh"

# bad VARIABLE VALUE: what a server with it says. Everything is as by default; $port is the server.
bad() {
    local name=bad-$1
    set_clock "$name" "=$noon"
    server "$name" "$1=$2" -- timeout=604800
    get "$port" "$name"
    is "$(fate "$port" "$name")" "$both" "$1=$2: the server works"
    is "$(grep -v 'session timeout' "$work/$name.err")" "$(grep "^ticketshim: $1=$2 is not .*; the default is used\$" "$work/$name.err")" \
        "$1=$2: one line says so and nothing else"
    is "$(log_of "$name" "$1=")" 1 "$1=$2: … once"
}
state() { mkdir -m 700 "$work/$1" && file=$work/$1/state; }
key_of() { shake "$1" 1.3 && echo "$key"; }

# ---- mode ------------------------------------------------------------------------------

server mode-default TICKETSHIM_MODE=default -- own-keys=1
get "$port" own
is "$(counter "$port" sealed) $(counter "$port" detached)" "0 1" "mode default: the application's keys win"
server mode-enforce TICKETSHIM_MODE=enforce -- own-keys=1
get "$port" own
is "$(fate "$port" own), $(counter "$port" sealed) $(counter "$port" opened)" "$both, 4 2" "mode enforce: they do not"
server mode-off TICKETSHIM_MODE=off
get "$port" off
is "$(fate "$port" off), $(counter "$port" sealed) $(counter "$port" attached)" "$both, 0 0" "mode off: libssl's own tickets"
bad TICKETSHIM_MODE on
is "$(counter "$port" sealed) $(counter "$port" attached)" "4 1" "… and the core is attached, as by default"

# ---- bind --------------------------------------------------------------------------------

# What becomes of a ticket of TLS 1.3 under another name, in another session id context, and after a restart; each with
# how many were refused for their binding.
journeys() { # journeys NAME [NAME=value…]
    local name=$1 from to
    state "$name"
    server "$name" "TICKETSHIM_STATE=$file" "${@:2}" && from=$port
    server "$name-sid" "TICKETSHIM_STATE=$file" "${@:2}" -- sid=other && to=$port
    shake "$from" 1.3 name=a.test "save=$work/$name.pem"
    shake "$from" 1.3 name=b.test "offer=$work/$name.pem"
    line="$got $(counter "$from" binding)"
    shake "$to" 1.3 name=a.test "offer=$work/$name.pem"
    line="$line, $got $(counter "$to" binding)"
    server "$name-again" "TICKETSHIM_STATE=$file" "${@:2}"
    shake "$port" 1.3 name=a.test "offer=$work/$name.pem"
    line="$line, $got $(counter "$port" binding)"
}
journeys stock TICKETSHIM_BIND=stock
is "$line" "resumed 0, full 1, full 1" "bind stock: any name, but no other context or start of the server"
journeys strict TICKETSHIM_BIND=strict
is "$line" "full 1, full 1, resumed 0" "bind strict: no other name or context, but another start of the server"
journeys sni TICKETSHIM_BIND=sni
is "$line" "full 1, full 0, resumed 0" "bind sni: no other name; another context is left to libssl, which refuses it"
journeys none TICKETSHIM_BIND=none
is "$line" "resumed 0, full 0, resumed 0" "bind none: another name too"
journeys nonsense TICKETSHIM_BIND=loose
is "$line" "full 1, full 1, resumed 0" "bind loose: there is no such thing, so it is strict"
bad TICKETSHIM_BIND loose

bad TICKETSHIM_CLIENTS everywhere

# ---- state, stats ---------------------------------------------------------------------------

bad TICKETSHIM_STATE relative/state
[ ! -e relative ] && [ ! -e "$work/relative" ]; ok $? "… and makes no file"
bad TICKETSHIM_STATS stats
state refused && "$command" state init "$file" >"$work/out" && chmod 640 "$file"
chown nobody "$file" 2>/dev/null || chmod 666 "$file"
server refused "TICKETSHIM_STATE=$file" -- timeout=300
get "$port" refused
is "$(fate "$port" refused)" "$both" "a state file that is refused: the server works"
like "$(cat "$work/refused.err")" "ticketshim: state file refused: $file *" "… and one line says why"
is "$(log_of refused)" 1 "… once"

# ---- rotate, accept, max_age -------------------------------------------------------------------

set_clock rotate "=$noon"
server rotate TICKETSHIM_ROTATE=90 TICKETSHIM_ACCEPT=5m -- timeout=604800
start=$((noon / 90 * 90 + 90))
set_clock rotate "=$start" && before=$(key_of "$port")
set_clock rotate "=$((start + 89))"
is "$(key_of "$port")" "$before" "rotate 90: the same key for 90 seconds"
get "$port" old
set_clock rotate "=$((start + 90))"
[ "$(key_of "$port")" != "$before" ]; ok $? "rotate 90: another one then"
set_clock rotate "=$((start + 449))"
is "$(fate "$port" old)" "$both" "accept 5m: at least so long, in whole rotations: six minutes"
set_clock rotate "=$((start + 450))"
is "$(fate "$port" old), $(counter "$port" expired)" "$neither, 2" "accept 5m: … and no second longer"
for wrong in 0 8d 1.5h; do
    bad TICKETSHIM_ROTATE $wrong
    before=$(key_of "$port")
    set_clock bad-TICKETSHIM_ROTATE "=$((noon + 1799))"
    is "$(key_of "$port")" "$before" "… the same key until the end of the hour"
    set_clock bad-TICKETSHIM_ROTATE "=$((noon + 1800))"
    [ "$(key_of "$port")" != "$before" ]; ok $? "… and another one then, as by default"
    rm "$work/bad-TICKETSHIM_ROTATE.err"
done
bad TICKETSHIM_ACCEPT 8d
set_clock bad-TICKETSHIM_ACCEPT "=$((noon + 12 * 3600))"
is "$(fate "$port" bad-TICKETSHIM_ACCEPT)" "$both" "… it opens for twelve hours, as by default"
set_clock bad-TICKETSHIM_ACCEPT "=$((noon + 13 * 3600))"
is "$(fate "$port" bad-TICKETSHIM_ACCEPT), $(counter "$port" expired)" "$neither, 2" "… and not for thirteen"
set_clock zero "=$noon"
server zero TICKETSHIM_ACCEPT=0
get "$port" zero
is "$(fate "$port" zero)" "$both" "accept 0: tickets open under the key in force"
set_clock zero "=$((noon + 1800))"
is "$(fate "$port" zero), $(counter "$port" expired)" "$neither, 2" "accept 0: … and under no older one"
bad TICKETSHIM_MAX_AGE 8d
set_clock bad-TICKETSHIM_MAX_AGE "=$((noon + 12 * 3600))"
is "$(fate "$port" bad-TICKETSHIM_MAX_AGE), $(counter "$port" too_old)" "$both, 0" "… the cap is not lower than by default"
server clipped TICKETSHIM_ROTATE=1m TICKETSHIM_ACCEPT=7d -- timeout=300
like "$(cat "$work/clipped.err")" "ticketshim: *every 1m*4h13m, not 7d" "accept that rotate does not allow is said in one line"

# ---- log ------------------------------------------------------------------------------------------

server info TICKETSHIM_LOG=info
like "$(cat "$work/info.err")" "ticketshim: keys of this process's own, chain *1h*12h" "log info: one line at the start"
server quiet TICKETSHIM_LOG=off TICKETSHIM_MODE=on TICKETSHIM_STATE=nowhere -- timeout=604800
get "$port" quiet
is "$(cat "$work/quiet.err")" "" "log off: nothing, whatever there is to say"
server warn -- timeout=300
get "$port" warn
is "$(cat "$work/warn.err")" "" "log warn, the default: nothing if all is well"
bad TICKETSHIM_EARLY_DATA twice
bad TICKETSHIM_LOG debug
server empty TICKETSHIM_LOG= TICKETSHIM_MODE= TICKETSHIM_STATE= TICKETSHIM_ROTATE= -- timeout=300
get "$port" empty
is "$(cat "$work/empty.err")" "" "an empty variable is the default"

# ---- names ---------------------------------------------------------------------------------------

server misspelt TICKETSHIM_STATES=/nowhere TICKETSHIM_PORT=tcp://10.0.0.1:443 -- timeout=300
get "$port" misspelt
is "$(cat "$work/misspelt.err")" "ticketshim: TICKETSHIM_STATES is no setting and has no effect: is TICKETSHIM_STATE meant?" \
    "a misspelt name is one line, and names of others are none"
TICKETSHIM_STATES=/nowhere LD_PRELOAD=$lib sh -c true 2>"$work/shell.err"
is "$(cat "$work/shell.err")" "" "… and none where there is no server"

# ---- the file ----------------------------------------------------------------------------------------

# A root directory with nothing but the server, its libraries, and an /etc of ours.
jail=$work/jail
mkdir -p "$jail/etc" "$jail/state" "$jail/bin" "$jail/dev"
chmod 700 "$jail/state"
cp "$bin/server" "$jail/bin/"
cp "$work/cert.pem" "$work/key.pem" "$jail/"
ldd "$bin/server" "$lib" "$bin/clock.so" | grep -o '/[^ ]*' | grep -v ':$' | sort -u | while read -r needed; do
    mkdir -p "$jail$(dirname "$needed")" && cp -L "$needed" "$jail$needed"
done
mkdir -p "$jail$(dirname "$lib")" && cp "$lib" "$jail$lib"
# jailed NAME [NAME=value…] [-- OPTION…]: the server in there, with exactly this environment.
jailed() {
    local name=$1 settings=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do settings+=("$1"); shift; done
    [ $# -eq 0 ] || shift
    exec {out}< <(exec env -i ${settings[@]+"${settings[@]}"} "${enter[@]}" "$jail" /bin/server /cert.pem /key.pem "$@" \
        2>"$work/$name.err" </dev/null)
    read_ports || bail "server $name did not start in its own root: $(cat "$work/$name.err")"
    exec {out}<&-
}
enter=("$(command -v chroot)")
[ "$(id -u)" = 0 ] || enter=("$(command -v unshare)" -r "$(PATH=$PATH:/usr/sbin command -v chroot)")
if "${enter[@]}" "$jail" /bin/server 2>"$work/null"; [ $? -eq 2 ]; then
    toml=$jail/etc/ticketshim.toml
    echo "$lib" >"$jail/etc/ld.so.preload"
    printf '# keys\nstate = "/state/keys"\nrotate = "2h"\naccept = 86400\nlog = "info"\n' >"$toml"
    jailed file -- timeout=300
    get "$port" file
    like "$(cat "$work/file.err")" "*keys from /state/keys, chain *every 2h*open for 1d" "/etc/ticketshim.toml counts, with nothing at all in the environment"
    is "$(stat -c '%a %s' "$jail/state/keys")" "600 400" "… the state file that it names is made"
    stop "$pid"
    jailed again -- timeout=300
    is "$(fate "$port" file)" "$both" "… and used by the next start"
    is "$(counter "$port" opened)" 2 "… by the core"
    jailed env TICKETSHIM_LOG=warn TICKETSHIM_STATE= -- timeout=300
    is "$(fate "$port" file)" "$neither" "the environment counts more, also an empty variable"
    is "$(cat "$work/env.err")" "" "… for each setting by itself"
    printf 'mode = "on"\nbind = "strict"\nnonsense = 1\naccept = ["1h"]\n' >"$toml"
    jailed wrong -- timeout=300
    get "$port" wrong
    is "$(fate "$port" wrong), $(counter "$port" opened)" "$both, 2" "bad values in the file: the server works"
    is "$(log_of wrong '/etc/ticketshim.toml')" 3 "… and each is one line"
    like "$(cat "$work/wrong.err")" "*: mode=on is not *default is used*" "… that says what it could be"
    echo 'mode = "off' >"$toml"
    jailed broken -- timeout=300
    get "$port" broken
    is "$(counter "$port" sealed)" 3 "a file that is no TOML: as if there was none"
    is "$(log_of broken '/etc/ticketshim.toml, line 1')" 1 "… and one line says where"
    printf 'state = "/state/keys"\nmode = "off\nlog = "warn"\n' >"$toml"
    jailed line -- timeout=300
    is "$(fate "$port" file), $(counter "$port" opened)" "$both, 2" "a file with a broken line: the others count"
    is "$(log_of line '/etc/ticketshim.toml, line 2')" 1 "… and one line says which does not"
    echo 'mode = "off"' >"$toml" && chmod 666 "$toml"
    jailed open -- timeout=300
    get "$port" open
    is "$(counter "$port" sealed)" 3 "a file that anybody can write is not used"
    is "$(log_of open 'chmod o-w /etc/ticketshim.toml')" 1 "… and one line says what to do"
    chmod 644 "$toml"
    jailed off -- timeout=300
    get "$port" off
    is "$(counter "$port" sealed)" 0 "… and is when it is put right"
else
    skip "no right to chroot, nor to make a user namespace" "/etc/ticketshim.toml"
fi
finished
