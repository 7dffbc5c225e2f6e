# shellcheck shell=sh
# shellcheck disable=SC3043 # `local`: dash and busybox have it too
# tap.sh: the TAP of every shell test. Sourced, not run; plain sh, because some tests run where there is no bash.
#
#   ok STATUS TEXT [DETAIL]     a test; STATUS as of a command, DETAIL is shown if it failed
#   passes TEXT COMMAND…        that a command succeeds; what it printed is shown if not
#   is GOT WANTED TEXT          that two strings are equal
#   like GOT PATTERN TEXT       that a string matches a pattern of the shell
#   skip REASON TEXT            a test that cannot run here: a failed one if CI=true
#   skip_all REASON             the same, of a whole script
#   bail REASON                 ends the script: nothing of it can be tested
#   finished                    the last line of a script: writes the plan, exits 1 if anything failed
#
# What the user and the machine have set is kept away from a test: language, OpenSSL's settings, the library's own file.
# Proxies stay, because some scripts fetch what they test.
#
# Results go to stdout, what explains a failure to stderr, where prove shows it.
export LC_ALL=C TICKETSHIM_CONFIG=/dev/null
unset LANGUAGE OPENSSL_CONF OPENSSL_CONF_INCLUDE OPENSSL_MODULES OPENSSL_ENGINES SSLKEYLOGFILE QLOGDIR
tap_count=0
tap_failed=0

diag() { sed 's/^/# /' >&2; }

ok() {
    case ${1-} in
    '' | *[!0-9]*) bail "ok: '${1-}' is no status: $*" ;;
    esac
    tap_count=$((tap_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
        return
    fi
    echo "not ok $tap_count - $2"
    tap_failed=$((tap_failed + 1))
    echo "# not ok $tap_count - $2" >&2
    [ -z "${3-}" ] || printf '%s\n' "$3" | diag
}

# By way of a file, not of $( ): a function of the script may set the script's variables.
passes() {
    local tap_text="$1" tap_said tap_status
    shift
    tap_said=$(mktemp) || bail "no temporary file"
    "$@" >"$tap_said" 2>&1
    tap_status=$?
    ok $tap_status "$tap_text" "$([ $tap_status -eq 0 ] || cat "$tap_said")"
    rm -f "$tap_said"
}

is() {
    if [ "$1" = "$2" ]; then
        ok 0 "$3"
    else
        ok 1 "$3" "got    $1
wanted $2"
    fi
}

like() {
    # shellcheck disable=SC2254 # it is a pattern
    case $1 in
    $2) ok 0 "$3" ;;
    *) ok 1 "$3" "got      $1
not like $2" ;;
    esac
}

skip() {
    tap_count=$((tap_count + 1))
    if [ "${CI:-}" = true ]; then
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $2 # SKIP $1"
        echo "# not run, which fails in CI: $2: $1" >&2
    else
        echo "ok $tap_count - $2 # SKIP $1"
    fi
}

skip_all() {
    [ "${CI:-}" != true ] || bail "$1"
    echo "1..0 # SKIP $1"
    exit 0
}

bail() {
    echo "Bail out! $*"
    exit 2
}

finished() {
    echo "1..$tap_count"
    [ "$tap_failed" -eq 0 ] || exit 1
    exit 0
}
