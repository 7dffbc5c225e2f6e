# Sourced by the scripts beside it: scripts/tap.sh, and `openssl s_server` of one version with `openssl s_client` of another.
# shellcheck shell=bash
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
versions=$here/openssl

. "$root/scripts/tap.sh"

system_target=${TICKETSHIM_SYSTEM_TARGET:-$root/target/ossl-system}
# Nothing of the caller's settings may colour a run.
unset LD_PRELOAD LD_LIBRARY_PATH
for v in "${!TICKETSHIM_@}"; do
    case $v in
    TICKETSHIM_LIB | TICKETSHIM_OPENSSL_CACHE | TICKETSHIM_SYSTEM_TARGET | TICKETSHIM_CONFIG) ;;
    *) unset "$v" ;;
    esac
done
export OPENSSL_CONF=/dev/null LC_ALL=C

work=$(mktemp -d)
server=
stop_server() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null
    server=
}
trap 'stop_server; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# dir_of VERSION: an OPENSSL_DIR, or nothing for the system's. lib_of, ssl_of: its libraries, its command.
dir_of() { [ "$1" = system ] || "$versions" dir "$1"; }
lib_of() { [ "$1" = system ] || echo "$(dir_of "$1")/lib"; }
ssl_of() { if [ "$1" = system ]; then command -v openssl; else echo "$(dir_of "$1")/bin/openssl"; fi; }
# target_of VERSION: cargo's directory. shim_of, command: the library built there, and the command, which is the same
# for all. For the system's OpenSSL it is TICKETSHIM_SYSTEM_TARGET, if that is set (`make check-versions-fast`).
target_of() {
    if [ "$1" = system ]; then echo "$system_target"; else echo "$root/target/ossl-$1"; fi
}
shim_of() { echo "$(target_of "$1")/release/libticketshim.so"; }
# shellcheck disable=SC2034 # for the scripts
command=$system_target/release/ticketshim
# abi_of VERSION: which programs bind to it.
abi_of() {
    case $1 in
    1.1.1*) echo libssl.so.1.1 ;;
    4.*) echo libssl.so.4 ;;
    *) echo libssl.so.3 ;;
    esac
}

# A certificate that every version reads.
make_cert() {
    [ -f "$work/cert.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj /CN=server.test -addext subjectAltName=DNS:server.test -config /dev/stdin \
        -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/req.err" <<<$'[req]\ndistinguished_name=dn\n[dn]' ||
        bail "no certificate: $(cat "$work/req.err")"
}

# start_server VERSION [NAME=value…]: `openssl s_server` in that environment; sets `server` and `port`.
start_server() {
    local version=$1 bin libs out=$work/server.out
    shift
    make_cert
    bin=$(ssl_of "$version") libs=$(lib_of "$version")
    : >"$out"
    env ${libs:+LD_LIBRARY_PATH="$libs"} "$@" \
        "$bin" s_server -accept 127.0.0.1:0 -www -cert "$work/cert.pem" -key "$work/key.pem" \
        >"$out" 2>"$work/server.err" </dev/null &
    server=$!
    port=
    for _ in $(seq 200); do
        port=$(sed -n 's/^ACCEPT .*:\([0-9][0-9]*\)$/\1/p' "$out")
        [ -z "$port" ] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    bail "s_server $version does not start: $(cat "$work/server.err")"
}

# ask VERSION PROTOCOL [FILE]: one connection of `openssl s_client`, which offers the session in FILE if there is one,
# and leaves the newest session in $work/session. Prints "New" or "Reused", or what went wrong.
ask() {
    local version=$1 protocol=$2 offer=${3-} bin libs said
    bin=$(ssl_of "$version") libs=$(lib_of "$version")
    rm -f "$work/session"
    said=$(printf 'GET / HTTP/1.0\r\n\r\n' | env ${libs:+LD_LIBRARY_PATH="$libs"} timeout 20 \
        "$bin" s_client -connect "127.0.0.1:$port" -servername server.test "-$protocol" -ign_eof \
        -CAfile "$work/cert.pem" -verify_return_error \
        -sess_out "$work/session" ${offer:+-sess_in "$offer"} 2>&1)
    if ! printf %s "$said" | grep -q '^HTTP/1.0 200'; then
        echo "failed: $(printf %s "$said" | grep -m1 -i -E 'error|alert' || echo "no answer")"
    else
        printf %s "$said" | sed -n 's/^\(New\|Reused\), .*/\1/p' | head -n 1
    fi
}
