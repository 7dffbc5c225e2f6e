#!/usr/bin/env bash
# A state file that is replaced: another chain is taken up, a bad file is not.
. "$(dirname "$0")/lib.sh"

# server_on NAME [OPTION…]: a server with three processes on a state file of its own, $file.
server_on() {
    local name=$1
    shift
    mkdir -m 700 "$work/$name" && file=$work/$name/state
    server "$name" "TICKETSHIM_STATE=$file" TICKETSHIM_LOG=info "TICKETSHIM_STATS=$work/$name.stats" -- workers=2 timeout=43200 "$@"
    all=("$port" "${ports[@]}")
}
# moved: how many seconds it takes until every process seals under another key than $key; "never" after 5.
moved() {
    local old=$key p start=$EPOCHREALTIME left=("${all[@]}") still
    while [ ${#left[@]} -gt 0 ]; do
        still=()
        for p in "${left[@]}"; do
            shake "$p" 1.3
            [ "$key" != "$old" ] || still+=("$p")
        done
        left=(${still[@]+"${still[@]}"})
        took=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }')
        awk -v t="$took" 'BEGIN { exit t > 5 }' || { took=never; break; }
    done
}
# tick NAME: two seconds pass for that server, so it looks at its file again.
elapsed=0
tick() {
    elapsed=$((elapsed + 2))
    set_clock "$1" "+$elapsed"
}
# What a test writes beside the file and renames, as whoever distributes the file does.
install_file() { mv -fT "$file.next" "$file"; }
fates() { # fates NAME: of those tickets, in every process
    local p
    for p in "${all[@]}"; do fate "$p" "$1"; done | sort -u
}

# ---- re-seeded ------------------------------------------------------------------------

server_on reseed
get "$port" old
shake "$port" 1.3
"$command" state announce --use-at +1s "$file" >"$work/reseed.out" 2>&1 || sed 's/^/# /' "$work/reseed.out"
moved
awk -v t="$took" 'BEGIN { exit !(t + 0 == t && t <= 2.5) }'
ok $? "a chain that is announced for the next second is in use in three running processes"
echo "# it took $took s"
is "$(fates old)" "$both" "tickets under the old chain still open, in all of them"
shake "$port" 1.2 "offer=$(ticket old 1.2)"
is "$got, $tickets" "resumed, 1" "… and are renewed in TLS 1.2"
get "$port" new
is "$(fates new)" "$both" "the processes share the new chain"
is "$(published reseed reloads)" 3 "each has counted it"
is "$(log_of reseed 'the state file is of generation 2')" 3 "… and says so in a line where TICKETSHIM_LOG=info"
server restarted "TICKETSHIM_STATE=$file"
is "$(fate "$port" new)" "$both" "a process started now has the new chain"
is "$(fate "$port" old)" "$both" "… and the old one"
stop "$pid"
set_clock reseed "+$((13 * 3600))"
is "$(fates old)" "$neither" "when the window of the old chain is over its tickets open nowhere"
get "${all[0]}" later
is "$(fates later)" "$both" "… and the new chain is shared on"

# A master that never made a ticket, re-seeded before it forks.
server_on idle
get "${ports[0]}" old
master=$port
"$command" state announce --use-at +1s "$file" >"$work/out"
worker "$master"
is "$(fate "$port" old)" "$both" "a worker forked after a re-seed from a master that slept through it opens old tickets"
sleep 1.1
get "$port" new
is "$(fate "${ports[1]}" new), $(fate "${ports[0]}" new)" "$both, $both" "… and has the new chain, as those forked before"
server idle-other "TICKETSHIM_STATE=$file"
is "$(fate "$port" new)" "$both" "… and as a server started now"

# ---- refused --------------------------------------------------------------------------

server_on bad
get "$port" old
cp -p "$file" "$work/good"
truncated() { head -c 100 "$work/good" >"$file.next" && chmod 600 "$file.next"; }
flipped() { { head -c 60 "$work/good"; printf '\377\377'; tail -c +63 "$work/good"; } >"$file.next" && chmod 600 "$file.next"; }
open_to_all() { "$command" state init "$file.next" >"$work/null" && chmod 644 "$file.next"; }
fifo() { mkfifo -m 600 "$file.next"; }
directory() { rm -f "$file" && mkdir -m 700 "$file.next"; }
# One that is root's all the way is followed.
foreign_link() { [ "$(id -u)" -ne 0 ] || chown -h 65534 "$1"; }
symlink() { rm -rf "$file" && cp -p "$work/good" "$work/bad/elsewhere" && ln -s elsewhere "$file.next" && foreign_link "$file.next"; }
empty() { (umask 077 && : >"$file.next"); }
foreign() { (umask 077 && head -c 80 /dev/urandom >"$file.next"); }
weak() { # zeros where secrets belong, and a checksum that fits
    (umask 077 && { head -c 80 "$work/good"; head -c 64 /dev/zero; tail -c +145 "$work/good" | head -c 224; } >"$file.next")
    openssl dgst -sha256 -binary "$file.next" >"$work/sum" && cat "$work/sum" >>"$file.next"
}
for bad in truncated flipped open_to_all fifo directory symlink empty foreign weak; do
    lines=$(log_of bad 'refused') counted=$(published bad state_refusals)
    $bad && install_file
    tick bad
    is "$(fates old)" "$both" "replaced by a bad file ($bad): the old keys stay"
    tick bad
    get "$port" same
    is "$(fates same)" "$both" "… and are shared, as before"
    is "$(($(log_of bad 'refused') - lines))" 3 "… each of three processes says so in one line"
    is "$(($(published bad state_refusals) - counted))" 3 "… and counts it"
    echo "# $(tail -n 1 "$work/bad.err")"
    rm -rf "$file"
    cp -p "$work/good" "$file.next" && install_file
    tick bad
    fates old >"$work/null"
done
rm -f "$file"
tick bad
is "$(fates old)" "$both" "removed: the old keys stay"
[ ! -e "$file" ]; ok $? "… and nobody makes another file"
cp -p "$work/good" "$file"
shake "$port" 1.3
"$command" state reseed --now "$file" >"$work/reseed.out" 2>&1
moved
[ "$took" != never ]; ok $? "a good file after all these is taken up"

# ---- a file that was bad from the start ------------------------------------------------------

mkdir -m 700 "$work/late" && file=$work/late/state
cp "$work/good" "$file" && chmod 644 "$file"
server late "TICKETSHIM_STATE=$file" -- workers=1
all=("$port" "${ports[@]}")
get "$port" before
is "$(fates before)" "$both" "a server that starts with a file that is refused has keys of its own, shared by its workers"
is "$(log_of late)" 1 "… and says so once"
shake "$port" 1.3
chmod 600 "$file"
moved
[ "$took" != never ]; ok $? "when the file is put right, it is taken up"
is "$(fates before)" "$both" "… and what was sealed before still opens"
get "$port" after
server late-other "TICKETSHIM_STATE=$file"
is "$(fate "$port" after)" "$both" "… and another server on the file agrees"
finished
