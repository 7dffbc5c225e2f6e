# tap.sh: for scripts whose tests are commands that succeed. Sourced, not run. TAP.
# shellcheck shell=bash
n=0
failed=0
tap_said=$(mktemp)

# ok TEXT COMMAND…: what it says is shown if it fails. (By way of a file: functions of the script may set its variables.)
ok() {
    local text=$1
    shift
    n=$((n + 1))
    if "$@" > "$tap_said" 2>&1; then
        echo "ok $n - $text"
    else
        echo "not ok $n - $text"
        sed 's/^/# /' "$tap_said"
        failed=1
    fi
}

# The end of a script: how many there were, and whether all succeeded.
all_done() {
    rm -f "$tap_said"
    echo "1..$n"
    exit $failed
}
