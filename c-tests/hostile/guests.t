#!/usr/bin/env bash
# The library in programs that it was not meant for (clients and helpers that inherit it, other users' processes beside
# it), and what others can do to it by locks.
. "$(dirname "$0")/lib.sh"
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --)
[ "$(id -u)" = 0 ] || bail "this test is run as root"
command -v setpriv >/dev/null || bail "no setpriv (Debian: util-linux)"
ms() { echo $(($(date +%s%N) / 1000000)); }

# ---- clients that inherit the library ----------------------------------------------------------------------------------

mkdir -m 700 "$work/own" "$work/none"
"$command" state init "$work/own/state" >"$work/out"
preload=''
start_s_server backend
client_port=$port
preload=$lib
# client NAME LIBSSL COMMAND…: as another user, from whom the state file is kept, and as root, who has none yet.
# LIBSSL: "shim" if its contexts must be seen to be made by the library; "other" if it has another TLS library.
client() {
    local name=$1 libssl=$2 who
    shift 2
    if ! command -v "$1" >/dev/null; then
        skip "no $1" "$name"
        return
    fi
    for who in nobody root; do
        local as=() file=$work/own/state rc bound
        case $who in nobody) as=("${nobody[@]}") ;; root) file=$work/none/state ;; esac
        rm -rf "$work/ld" && mkdir -m 777 "$work/ld"
        HOME=/nonexistent ${as[@]+"${as[@]}"} env "LD_PRELOAD=$lib" "TICKETSHIM_STATE=$file" TICKETSHIM_BIND=nonsense \
            "TICKETSHIM_STATS=$work/none/stats" LD_DEBUG=bindings "LD_DEBUG_OUTPUT=$work/ld/bindings" \
            timeout 30 "$@" </dev/null >"$work/client.out" 2>"$work/client.stderr"
        rc=$?
        [ $rc = 0 ]; ok $? "$name as $who works"
        [ $rc = 0 ] || sed 's/^/# /' "$work/client.stderr"
        is "$(grep -c ticketshim "$work/client.stderr")" 0 "$name as $who: not a word on stderr"
        is "$(ls -A "$work/none")" '' "$name as $who: no file is made"
        bound=$(cat "$work"/ld/* | grep -c 'to .*libticketshim.so .*SSL_CTX_new')
        [ "$libssl" = other ] || { [ "$bound" -gt 0 ]; ok $? "$name as $who: its context was made by the library"; }
    done
}
url=https://127.0.0.1:$client_port/
client "Python, a context" shim python3 -c 'import ssl; ssl.create_default_context()'
client "Python, a context for both sides" shim python3 -W ignore -c 'import ssl; ssl.SSLContext(ssl.PROTOCOL_TLS)'
client "Python, urllib" shim python3 -c "
import ssl, sys, urllib.request
context = ssl._create_unverified_context()
for _ in range(2):
    urllib.request.urlopen('$url', context=context).read()"
client "openssl s_client" shim openssl s_client -connect "127.0.0.1:$client_port" -servername server.test -alpn h2
client "curl" shim curl -sk "$url"
client "Perl" shim perl -MIO::Socket::SSL -e \
    "IO::Socket::SSL->new(PeerAddr => '127.0.0.1:$client_port', SSL_verify_mode => 0) or die \$!"
client "PHP" shim php -r \
    "\$c = stream_context_create(['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]]);
    exit(file_get_contents('$url', false, \$c) === false ? 1 : 0);"
client "Node.js" other node -e \
    "require('tls').connect({port: $client_port, host: '127.0.0.1', rejectUnauthorized: false}, function () { this.end() })"
client "wget" other wget -q --no-check-certificate -O - "$url"
client "git" other bash -c "git -c http.sslVerify=false ls-remote '${url}x.git' 2>&1 | grep -v '^fatal: ' || true"
client "a shell" other sh -c 'true'

# ---- servers make the file in time -----------------------------------------------------------------------------------------

# made NAME: it is there, root's alone, and the server's tickets open after a restart.
mkdir -m 700 "$work/nginx"
start_nginx early 1 '' "TICKETSHIM_STATE=$work/nginx/state" "TICKETSHIM_STATS=$work/nginx.stats"
is "$(stat -c '%a %U' "$work/nginx/state" 2>&1)" "600 root" "nginx, whose workers are nobody's: the file is made before the first client"
get "$port" early
is "$(fate "$port" early)" "$both" "… and tickets resume"
is "$(published nginx opened)" 2 "… by the core"
is "$(cat "$work/early.start.err" "$work/early.err" | grep -c 'ticketshim:')" 0 "… without a word"
mkdir -m 700 "$work/s_server"
start_s_server made "TICKETSHIM_STATE=$work/s_server/state"
is "$(stat -c %a "$work/s_server/state" 2>&1)" 600 "openssl s_server: the file is made before the first client"

# python NAME PROTOCOL: a server that drops its rights when its context is made. Sets $port.
cat >"$work/server.py" <<'END'
import os, socket, ssl, sys
cert, key, protocol, drops = sys.argv[1:]
context = ssl.SSLContext(getattr(ssl, protocol))
context.load_cert_chain(cert, key)
if "alpn" in drops:
    context.set_servername_callback(lambda *args: None)
listener = socket.create_server(("127.0.0.1", 0))
if "drops" in drops:
    os.setgid(65534)
    os.setuid(65534)
print("port=%d pid=%d" % (listener.getsockname()[1], os.getpid()), flush=True)
while True:
    plain, _ = listener.accept()
    try:
        with context.wrap_socket(plain, server_side=True) as tls:
            tls.recv(100)
            tls.sendall(b"done\n")
    except (ssl.SSLError, OSError):
        pass
END
python() { # python NAME PROTOCOL WORDS
    [ -d "$work/$1" ] || mkdir -m 700 "$work/$1"
    exec {out}< <(exec env "LD_PRELOAD=$lib" "TICKETSHIM_STATE=$work/$1/state" "TICKETSHIM_STATS=$work/$1.stats" \
        python3 -W ignore "$work/server.py" "$work/cert.pem" "$work/key.pem" "$2" "$3" 2>>"$work/$1.err" </dev/null)
    read_ports || bail "the Python server $1 did not start: $(cat "$work/$1.err")"
    exec {out}<&-
}
python tls-server PROTOCOL_TLS_SERVER drops
is "$(stat -c %a "$work/tls-server/state" 2>&1)" 600 "a server's method: the file is made with the context"
python servername PROTOCOL_TLS alpn,drops
is "$(stat -c %a "$work/servername/state" 2>&1)" 600 "a method for both sides, and a servername callback: the file is made with that"
python either PROTOCOL_TLS ''
is "$(ls -A "$work/either")" '' "a method for both sides: nothing is made with the context"
get "$port" either
is "$(stat -c %a "$work/either/state" 2>&1)" 600 "… but with the first ticket"
is "$(fate "$port" either) $(published either opened)" "$both 2" "… and tickets resume, by the core"
stop "$pid"
python either PROTOCOL_TLS ''
is "$(fate "$port" either)" "$both" "… after a restart too"
python late PROTOCOL_TLS drops
get "$port" late
is "$(fate "$port" late) $(log_of late 'state file refused')" "$both 1" "… and one that has dropped its rights by then says that it cannot, once"

# ---- locks that others hold --------------------------------------------------------------------------------------------------

holders=()
# hold FILE: another user has the lock on it, for as long as the test runs. Fails if it cannot be had.
hold() {
    "${@:2}" perl -MFcntl=:flock -e 'open my $f, "<", $ARGV[0] or exit 1; flock($f, LOCK_EX | LOCK_NB) or exit 1;
        $| = 1; print "held\n"; sleep 600' "$1" >"$work/hold" &
    holders+=($!) started+=($!)
    disown
    for _ in {1..100}; do
        grep -qs held "$work/hold" && { : >"$work/hold"; return 0; }
        kill -0 $! 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}
group=(setpriv --reuid=65534 --regid=65534 --clear-groups --)
mkdir -m 750 "$work/shared" && chgrp 65534 "$work/shared"
"$command" state init "$work/shared/state" >"$work/out"
chgrp 65534 "$work/shared/state" && chmod 640 "$work/shared/state"
hold "$work/shared" "${group[@]}"; ok $? "a worker that may read a root:www 0750 directory holds a lock on it"
hold "$work/shared/state" "${group[@]}"; ok $? "… and one on the 0640 file"
for verb in reseed 'advance --force' reseed; do
    begun=$(ms)
    # shellcheck disable=SC2086 # words
    "$command" state ${verb%% *} ${verb#"${verb%% *}"} "$work/shared/state" >"$work/out" 2>&1; ok $? "… which does not keep root from: state $verb"
    [ $(($(ms) - begun)) -lt 1500 ]; ok $? "… nor make it wait"
done
is "$(ls -A "$work/shared")" state "… and nothing is left beside the file"

mkdir -m 755 "$work/public"
hold "$work/public" "${nobody[@]}"; ok $? "nobody holds a lock on a 0755 directory"
begun=$(ms)
start_s_server public "TICKETSHIM_STATE=$work/public/state"
took=$(($(ms) - begun))
is "$(ls -A "$work/public")" state "… in which a server makes its file nevertheless"
begun=$(ms)
preload='' && start_s_server plain && preload=$lib
stock=$(($(ms) - begun))
[ $((took - stock)) -lt 1500 ]; ok $? "… without waiting (${took} ms, stock ${stock})"

# The owner's own lock, held by a process that does not come to an end: a server starts, and makes the file afterwards.
mkdir -m 700 "$work/busy"
(umask 077 && : >"$work/busy/.state.lock")
hold "$work/busy/.state.lock" env; ok $? "root holds root's own lock"
holder=${holders[-1]}
server free "TICKETSHIM_STATE=$work/busy/state"
is "$(ls -A "$work/busy")" ".state.lock
state" "… which a server does not need to make the file"
stop "$pid"
rm -f "$work/busy/state"
# As where a file cannot be without a name: then it does.
as=("$programs/filter" deny linkat=38 --)
begun=$(ms)
server busy "TICKETSHIM_STATE=$work/busy/state"
[ $(($(ms) - begun)) -lt 1500 ]; ok $? "… a server starts without waiting"
get "$port" busy
is "$(fate "$port" busy), $(ls -A "$work/busy"), $(log_of busy)" "$both, .state.lock, 0" "… serves with keys of its own, and says nothing yet"
kill -KILL "$holder"
for _ in {1..5}; do
    sleep 1.1
    fate "$port" busy >"$work/out"
    [ -e "$work/busy/state" ] && break
done
is "$(stat -c %a "$work/busy/state" 2>&1), $(ls -A "$work/busy")" "600, state" "… the file is made when the lock is free"
is "$(fate "$port" busy)" "$both" "… and tickets of before open"
stop "$pid"
as=()
server busy-again "TICKETSHIM_STATE=$work/busy/state"
shake "$port" 1.3 "offer=$(ticket busy 1.3)"
server busy-third "TICKETSHIM_STATE=$work/busy/state"
get "$port" third
stop "$pid"
server busy-fourth "TICKETSHIM_STATE=$work/busy/state"
is "$(fate "$port" third)" "$both" "… and after restarts tickets resume"
# One that stays busy is said, after a while.
mkdir -m 700 "$work/stuck"
(umask 077 && : >"$work/stuck/.state.lock")
hold "$work/stuck/.state.lock" env
set_clock stuck "=$noon"
as=("$programs/filter" deny linkat=38 --)
server stuck "TICKETSHIM_STATE=$work/stuck/state"
as=()
shake "$port" 1.3
set_clock stuck "=$((noon + 10))"
shake "$port" 1.3
is "$got $(log_of stuck 'another process of its owner is writing it')" "full 1" "a lock that its owner never gives back is said, once"

# In a directory like /tmp anybody can put things in the way.
mkdir -m 1777 "$work/sticky"
"${nobody[@]}" touch "$work/sticky/.state.lock"
"${nobody[@]}" "$command" state init "$work/sticky/state" >"$work/out" 2>&1; ok $? "a lock file of its own is no obstacle"
rm -f "$work/sticky"/* "$work/sticky/.state.lock"
"${nobody[@]}" touch "$work/sticky/.state.lock"
"$programs/filter" deny linkat=38 -- "$command" state init "$work/sticky/state" >"$work/out" 2>&1; ok $? "… nor is another user's for root"
rm -f "$work/sticky"/*
touch "$work/sticky/.state.lock" "$work/sticky/.state.new"
"${nobody[@]}" "$programs/filter" deny linkat=38 -- "$command" state init "$work/sticky/state" >"$work/out" 2>&1
like "$? $(cat "$work/out")" "1 *uid 0 has put something under the name of its lock*" "… root's for nobody is, and is said"

# ---- the lock on the stats file ---------------------------------------------------------------------------------------------

server stats "TICKETSHIM_STATS=$work/public/stats"
is "$(stat -c %a "$work/public/stats" 2>&1)" 644 "a stats file, which anybody may read"
starts() { # starts: how long ten take, in ms
    local begun
    begun=$(ms)
    for _ in {1..10}; do env "LD_PRELOAD=$lib" "TICKETSHIM_STATS=$work/public/stats" true; done
    echo $(($(ms) - begun))
}
free=$(starts)
hold "$work/public/stats" "${nobody[@]}"; ok $? "nobody holds a lock on it"
held=$(starts)
[ $((held - free)) -lt 600 ]; ok $? "… which makes no program wait (ten starts: ${free} ms, then ${held})"
get "$port" stats
is "$(fate "$port" stats) $("$command" stats --json "$work/public/stats" | sed -n '/"families"/q; s/^ *"opened": \([0-9]*\),*$/\1/p')" \
    "$both 2" "… and nothing is lost of what is counted"
finished
