# shellcheck shell=bash
# lib.sh: what the tests with real servers share. Sourced, not run.
#
# A test starts a server on free ports of the loopback interface, visits it with
# openssl s_client, and compares what came of each visit, in words, with what
# must come of it: with and without the shim in front of the server (the client
# never has it). Everything lives in one temporary directory and ends with the
# test; only processes that the test started are ended, by their pid.
#
#   TICKETSHIM_LIB=…       the library     (target/release/libticketshim.so)
#   TICKETSHIM_COMMAND=…   the command     (target/release/ticketshim)
#   TS_KEEP=1              keep the temporary directory
#   CI=true                a skipped test is a failed one

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 2
root=$(dirname "$(dirname "$here")")
. "$root/scripts/tap.sh"
lib=${TICKETSHIM_LIB:-$root/target/release/libticketshim.so}
command=${TICKETSHIM_COMMAND:-$root/target/release/ticketshim}
export LC_ALL=C OPENSSL_CONF=/dev/null
unset LD_PRELOAD
for v in "${!TICKETSHIM_@}"; do
    case $v in TICKETSHIM_LIB | TICKETSHIM_COMMAND | TICKETSHIM_CONFIG) ;; *) unset "$v" ;; esac
done

server=''
dir=$(mktemp -d "${TMPDIR:-/tmp}/ticketshim-servers-XXXXXX") || exit 2
chmod 755 "$dir" # workers that are not root read from it

need_build() {
    [ -f "$lib" ] || bail "no $lib: make build"
    [ -x "$command" ] || bail "no $command: make build"
}

clean_up() {
    stop_server
    [ -n "${TS_KEEP:-}" ] || rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# ---- certificates ------------------------------------------------------------------

# new_cert NAME CN [CA [SERIAL]]: NAME.pem and NAME.key, signed by CA or by itself.
new_cert() {
    local ext=$dir/$1.ext
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
        -out "$dir/$1.key" 2>/dev/null || bail "cannot make a key"
    if [ -z "${3:-}" ]; then
        openssl req -x509 -new -key "$dir/$1.key" -subj "/CN=$2" -days 2 \
            -addext basicConstraints=critical,CA:TRUE -out "$dir/$1.pem" 2>/dev/null ||
            bail "cannot make a CA"
        return
    fi
    printf 'subjectAltName=DNS:%s\nbasicConstraints=CA:FALSE\n' "$2" >"$ext"
    openssl req -new -key "$dir/$1.key" -subj "/CN=$2" 2>/dev/null |
        openssl x509 -req -CA "$dir/$3.pem" -CAkey "$dir/$3.key" -days 2 \
            -set_serial "${4:-$RANDOM}" -extfile "$ext" -out "$dir/$1.pem" 2>/dev/null ||
        bail "cannot sign a certificate"
}

# new_crl CA SERIAL: CA.crl, a list that revokes this one.
new_crl() {
    printf '[ca]\ndefault_ca=it\n[it]\ndatabase=%s/index\ndefault_md=sha256\n' "$dir" >"$dir/crl.conf"
    printf 'R\t491231235959Z\t240101000000Z\t%02X\tunknown\t/CN=revoked\n' "$2" >"$dir/index"
    openssl ca -config "$dir/crl.conf" -gencrl -crldays 2 -cert "$dir/$1.pem" \
        -keyfile "$dir/$1.key" -out "$dir/$1.crl" 2>/dev/null || bail "cannot make a CRL"
}

# ---- servers ----------------------------------------------------------------------------

# A port of the loopback interface for this test alone.
free_port() { "$root/scripts/free-port" || bail "no free port"; }

# start_server KIND PORT COMMAND…: in the foreground mode of the server; `kind`
# is stock, shim, state (the shim with a state file), or shared (also with TICKETSHIM_CLIENTS=shared). Waits until PORT
# answers.
start_server() {
    local kind=$1 port=$2 i env=()
    shift 2
    rm -f "$dir/stats"
    [ "$kind" = stock ] || env=("LD_PRELOAD=$lib" "TICKETSHIM_LOG=warn" "TICKETSHIM_STATS=$dir/stats")
    case $kind in state | shared) env+=("TICKETSHIM_STATE=$dir/state") ;; esac
    [ "$kind" != shared ] || env+=(TICKETSHIM_CLIENTS=shared)
    env ${env[@]+"${env[@]}"} "$@" >"$dir/server.out" 2>&1 </dev/null &
    server=$!
    for ((i = 0; i < 100; i++)); do
        if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    diag <"$dir/server.out"
    bail "the server does not answer"
}

stop_server() {
    local i
    [ -n "$server" ] || return 0
    kill -TERM "$server" 2>/dev/null
    for ((i = 0; i < 50; i++)); do
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=''
}

# children PID: the processes that it started.
children() { cat "/proc/$1/task/$1/children" 2>/dev/null; }

# until_new_workers OLD: waits until the server's children are others than OLD,
# and none of OLD is left: a reload is over.
until_new_workers() {
    local i now pid old
    for ((i = 0; i < 100; i++)); do
        now=$(children "$server") old=0
        for pid in $1; do case " $now " in *" $pid "*) old=1 ;; esac; done
        [ -z "$now" ] || [ "$old" -ne 0 ] || return 0
        sleep 0.1
    done
    bail "the server does not reload"
}

# ---- visits ---------------------------------------------------------------------------------

# visit VERSION PORT NAME HOST CERT IN OUT: one connection with SNI NAME ("" for
# none), the request's Host HOST, the client certificate CERT (""), the session
# file IN to resume (""), and OUT to write one to (""). Prints what came of it:
#   "resumed, 200 …"  "full, 200 …"  "full, asked, 400 …"  "failed: …"
# where … is what the server's answer says in its X-Who header. ${options[@]} are
# further ones of s_client, $path is what is asked for.
options=() path=/
visit() {
    local version=$1 port=$2 name=$3 host=$4 cert=$5 in=$6 out=$7 text=$dir/visit.txt
    local args=(-connect "127.0.0.1:$port" "-$version" -CAfile "$dir/ca.pem" -ign_eof)
    if [ -n "$name" ]; then args+=(-servername "$name"); else args+=(-noservername); fi
    [ -z "$cert" ] || args+=(-cert "$dir/$cert.pem" -key "$dir/$cert.key")
    [ -z "$in" ] || args+=(-sess_in "$dir/$in")
    [ -z "$out" ] || args+=(-sess_out "$dir/$out")
    args+=(${options[@]+"${options[@]}"})
    printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$path" "$host" |
        timeout 20 openssl s_client "${args[@]}" >"$text" 2>&1
    awk '
        /^New, TLS/ || /^New, \(NONE\)/ { how = "full" }
        /^Reused, TLS/ { how = "resumed" }
        /^Acceptable client certificate CA names/ || /^Client Certificate Types/ { asked = ", asked" }
        /alert/ && alert == "" { alert = $0; sub(/.*:(tls|ssl)[a-z0-9]* /, "", alert); sub(/:.*/, "", alert) }
        # The answer may begin in the midst of what s_client says about a ticket.
        match($0, /HTTP\/1\.[01] [0-9]+/) { status = substr($0, RSTART + 9, 3) }
        /^[Xx]-[Ww]ho: / { sub(/[ \r]+$/, ""); who = " " substr($0, 8) }
        END {
            if (status != "") print how asked ", " status who
            else print "failed" asked ": " (alert != "" ? alert : "closed")
        }' "$text"
}

# shaken: what came of the handshake of the last visit, where the server speaks no HTTP.
shaken() {
    awk '
        /^New, TLS/ { how = "full" }
        /^Reused, TLS/ { how = "resumed" }
        /alert/ && alert == "" { alert = $0; sub(/.*:(tls|ssl)[a-z0-9]* /, "", alert); sub(/:.*/, "", alert) }
        END { print alert != "" ? "failed: alert " alert : how != "" ? how : "failed: closed" }' "$dir/visit.txt" |
        sed 's/alert alert/alert/'
}

# ---- what the tests say --------------------------------------------------------------------------
# A test defines start KIND PORT and reload, and sets port.

# counted: what the server's core has counted, all its processes together.
counted() {
    "$command" stats "$dir/stats" --json | awk -F '[:,]' '
        /"opened"/ && o == "" { o = $2 + 0 }
        /"refused_binding"/ && b == "" { b = $2 + 0 }
        /"refused_policy"/ && p == "" { p = $2 + 0 }
        END { print "opened " o ", refused: binding " b ", policy not known " p }'
}

# visits COUNTED FUNCTION…: each function with the kind and each version, on a
# server that is started for them: stock, and with the shim, where COUNTED must
# be what was counted.
visits() {
    local want=$1 kind f v
    shift
    for kind in stock shim; do
        start "$kind" "$port"
        for f; do for v in tls1_2 tls1_3; do $f "$kind" $v; done; done
        [ "$kind" = stock ] || is "$(counted)" "$want" "$kind: counted"
        stop_server
    done
}

# by KIND STOCK SHIM: what must come of it.
by() { if [ "$1" = stock ]; then echo "$2"; else echo "$3"; fi; }

# ticket VERSION PORT NAME CERT: into s.pem; resume: from there. Both print what
# came of it.
ticket() { visit "$1" "$2" "$3" "$3" "$4" "" s.pem; }
resume() { visit "$1" "$2" "$3" "$3" "$4" s.pem ""; }

# keep_tickets NAME CERT: one of each version.
keep_tickets() {
    local v
    for v in tls1_2 tls1_3; do visit $v "$port" "$1" "$1" "$2" "" "$v.pem" >/dev/null; done
}

# introduce NAME CERT: somebody without a ticket. Where certificates are asked for,
# the server does not know before that what this name demands.
introduce() { visit tls1_2 "$port" "$1" "$1" "$2" "" "" >/dev/null; }

# after KIND WHAT NAME CERT STOCK12 STOCK13 [SHIM12 SHIM13]: what comes of those
# tickets now; under the shim the same if nothing else is said.
after() {
    local shim12=${7-$5} shim13=${8-$6}
    is "$(visit tls1_2 "$port" "$3" "$3" "$4" tls1_2.pem "")" "$(by "$1" "$5" "$shim12")" "$1, tls1_2: $2"
    is "$(visit tls1_3 "$port" "$3" "$3" "$4" tls1_3.pem "")" "$(by "$1" "$6" "$shim13")" "$1, tls1_3: $2"
}

# ---- the contract ------------------------------------------------------------------------------------
# Each line says what stock makes of it, and what comes of it with the shim.

# beside TEXT STOCK SHIM WANTED: that the shim makes WANTED of it (by default what stock makes).
beside() {
    is "$3" "${4-$2}" "$1: stock: $2; with the shim: ${4-$2}"
}

# used: that the core has given tickets and opened some, or refused some, since the server started.
used() {
    local said
    said=$("$command" stats "$dir/stats" --json | awk -F '[:,]' '
        /"sealed"/ && !s { s = $2 + 0 }
        /"opened"/ && !o { o = $2 + 0 }
        /"refused_[a-z_]*"/ { r += $2 }
        END { print (s > 0 && o + r > 0) ? "used" : "sealed " s + 0 ", opened " o + 0 ", refused " r + 0 }')
    is "$said" used "$1: the core gave tickets and had its say about some"
}
