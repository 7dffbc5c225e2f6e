#!/usr/bin/env bash
# The tests themselves: they are the same on a machine that has settings of its own, for a user who has others, and
# beside other tests.
. "$(dirname "$0")/lib.sh"

# ---- ports ----------------------------------------------------------------------------------------------

asking=()
for i in {1..40}; do
    "$root/scripts/free-port" >"$work/port.$i" &
    asking+=("$!")
done
wait "${asking[@]}"
is "$(cat "$work"/port.* | sort -u | wc -l)" 40 "forty tests that ask for a port at once are each given another"

# ---- settings of the machine and the user -------------------------------------------------------------------

mkdir "$work/etc" && cp -a /etc/. "$work/etc" 2>/dev/null
printf 'mode = "off"\nnonsense\n' >"$work/etc/ticketshim.toml"
printf 'openssl_conf = it\n[it]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\nOptions = -SessionTicket\nMaxProtocol = TLSv1.2\n' >"$work/openssl.cnf"
printf 'proxy = "http://127.0.0.1:9"\nfail\n' >"$work/.curlrc"
# there COMMAND…: where /etc/ticketshim.toml says "off", and the user's environment is full of the like.
there() {
    local way=-m
    [ "$(id -u)" = 0 ] || way=-rm
    unshare "$way" sh -c 'mount --bind "$0" /etc || exit 99; exec "$@"' "$work/etc" env -u TICKETSHIM_CONFIG "HOME=$work" \
        http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 ALL_PROXY=http://127.0.0.1:9 \
        "OPENSSL_CONF=$work/openssl.cnf" "SSLKEYLOGFILE=$work/keylog" OPENSSL_MODULES=/nowhere \
        LC_ALL=tr_TR.UTF-8 LANG=de_DE.UTF-8 LANGUAGE=de TICKETSHIM_STATE=/nowhere/state TICKETSHIM_BIND=none \
        "TICKETSHIM_LIB=$lib" "TICKETSHIM_BIN=$command" "$@"
}
if there true 2>"$work/there.err"; then
    there env -i OPENSSL_CONF=/dev/null "LD_PRELOAD=$lib" "$bin/server" "$work/cert.pem" "$work/key.pem" 2>"$work/control.err" >"$work/control" </dev/null &
    for ((i = 0; i < 400; i++)); do [ -s "$work/control" ] && break; sleep 0.05; done
    said_ports "$(cat "$work/control")" || bail "no server there: $(cat "$work/control.err")"
    get "$port" control
    is "$(counter "$port" sealed)" 0 "control: there, the library that is told nothing seals nothing"
    # Not the whole of them: what each kind of test is shielded by.
    suite() { # suite DESCRIPTION COMMAND…: runs it there
        there "${@:2}" >"$work/suite" 2>&1
        ok $? "there: $1" "$(grep -v '^ok' "$work/suite")"
    }
    suite "a shell test" "$here/lifetimes.t"
    suite "a C test" "$root/c-tests/run" resume
    [ ! -e "$work/keylog" ]; ok $? "… and no secrets are in the user's SSLKEYLOGFILE"
else
    skip "no right to mount: $(cat "$work/there.err")" "settings of the machine"
fi
finished
