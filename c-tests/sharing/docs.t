#!/usr/bin/env bash
# The documents and the examples beside them: what they say to type exists, and works.
. "$(dirname "$0")/lib.sh"
docs=$root/docs

# ---- every command and option --------------------------------------------------------------

# Lines in which the command is run, wherever they are; comments and what comes after a pipe taken off.
mentioned() {
    grep -ohE '\bticketshim (run|doctor|state|stats|inspect)\b[^`|#]*' "$root"/*.md "$docs"/*.md "$docs"/systemd/* "$docs"/operators/* \
        "$docs"/kubernetes/* "$docs"/man/* | sed 's/\\-/-/g' | sort -u
}
helps=$work/helps
mkdir "$helps"
unknown=0 seen=0
while read -r _ first second rest; do
    words=("$first")
    [ "$first" != state ] || words+=("${second%%[^a-z]*}")
    page=$helps/${words[*]}
    [ -f "$page" ] || "$command" "${words[@]}" --help >"$page" 2>&1 || { echo "# no such command: ticketshim ${words[*]}"; unknown=$((unknown + 1)); }
    # What comes after -- is of the command that is run.
    line=" $second $rest"
    # shellcheck disable=SC2013 # words
    for option in $(grep -oE ' --[a-z-]+' <<<"${line%% -- *}"); do
        seen=$((seen + 1))
        grep -qE -- "(^|[ ,])$option\b" "$page" || { echo "# ticketshim ${words[*]} has no $option"; unknown=$((unknown + 1)); }
    done
done < <(mentioned)
is $unknown 0 "every command and option that the documents name exists"
[ $seen -ge 8 ]; ok $? "… $seen options were looked at"

# ---- README: the same server, started in the two ways that it shows -----------------------------------

# client VERSION OPTION…: "New" or "Reused".
client() {
    printf 'GET / HTTP/1.0\r\n\r\n' | timeout 10 openssl s_client -connect "127.0.0.1:$port" -servername www.example -ign_eof "-tls$1" "${@:2}" 2>/dev/null |
        sed -n 's/^\(New\|Reused\), .*/\1/p' | head -1
}
ways=0
while IFS= read -r line; do
    free_port
    line=${line//nginx/openssl s_server -quiet -www -accept 127.0.0.1:$port -cert $work/cert.pem -key $work/key.pem}
    line=${line//\/usr\/local\/lib\/libticketshim.so.0/$lib}
    line=${line//\/var\/lib\/ticketshim\/state/$work/readme}
    line=${line/#ticketshim /$command }
    eval "exec env TICKETSHIM_STATS=$work/readme.stats $line" <>/dev/zero >"$work/readme.err" 2>&1 &
    pid=$!
    started+=("$pid")
    for ((i = 0; i < 200; i++)); do (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.05; done
    for v in 1_2 1_3; do
        if [ $ways -eq 0 ]; then is "$(client $v -sess_out "$work/readme.$v")" New "README's first way to start a server: a ticket, TLS $v"
        else is "$(client $v -sess_in "$work/readme.$v")" Reused "README's second way: the ticket opens, TLS $v"; fi
    done
    kill "$pid"
    wait "$pid" 2>/dev/null
    ways=$((ways + 1))
done < <(sed -n '/^```sh/,/^```/p' "$root/README.md" | grep ' nginx$')
is $ways 2 "README's ways to start a server were run"
is "$(published readme sealed), $(published readme opened)" "4, 2" "… and the core sealed and opened"

# ---- the C guide -----------------------------------------------------------------------------------

# Its lines that compile, with the example for server.c.
cp "$root/c-tests/examples/appdata.c" "$work/server.c"
ln -sf libticketshim.so "$work/libticketshim.so.0"
lines=0
while IFS= read -r line; do
    case $line in *pkg-config*) continue ;; esac # what scripts/check-install does
    (cd "$work" && CPATH=$root/include LIBRARY_PATH=$work eval "$line") >"$work/out" 2>&1
    is $? 0 "compiles as it is written: $line"
    rm -f "$work/guide.stats"
    preload=
    case $line in *-lticketshim*) ;; *) preload=$lib ;; esac
    LD_LIBRARY_PATH=$work LD_PRELOAD=$preload TICKETSHIM_STATS=$work/guide.stats "$work/a.out" >"$work/out" 2>&1
    is "$?, $(published guide opened)" "0, 2" "… and the core has opened its tickets"
    lines=$((lines + 1))
done < <(grep -ohE '(^|`)cc server\.c [^`]*' "$docs/c-guide.md" | tr -d '`')
is $lines 2 "… all lines but the one with pkg-config"

# Its complete programs.
programs=0
while IFS= read -r -d '' program; do
    printf '%s' "$program" >"$work/program.c"
    cc -std=c99 -Wall -Wextra -Wpedantic -Werror -I"$root/include" -o "$work/program" "$work/program.c" -lssl -lcrypto -ldl >"$work/out" 2>&1
    is "$?, $(cat "$work/out")" "0, " "a program of the C guide compiles"
    is "$("$work/program")" "tickets are libssl's" "… runs without the library"
    is "$(LD_PRELOAD=$lib "$work/program")" "contexts attached: 1, tickets sealed: 0" "… and finds it when it is there"
    programs=$((programs + 1))
done < <(awk '/^```c$/ { text = ""; inside = 1; next } /^```$/ { if (inside && text ~ /int main/) printf "%s%c", text, 0; inside = 0 } inside { text = text $0 "\n" }' "$docs/c-guide.md")
is $programs 1 "all complete programs were run"

# ---- the fleet, as it is written ---------------------------------------------------------------

ticketshim() { "$command" "$@"; }
get-secret() { echo 5a1d3c0b9f8e7d6c5b4a39281706f5e4d3c2b1a0918273645546372819a0b1c2; }
ssh() { shift; "${@//host2/host1}"; }
mkdir -m 700 "$work/host1" "$work/host2"
ticketshim state init "$work/host1/state" >"$work/out"
chain() { ticketshim state show --json "$work/$1/state" | sed -n 's/^  "chain": "\(.*\)".*/\1/p'; }
generation() { ticketshim state show --json "$work/$1/state" | sed -n 's/.*"generation": \(.*\),/\1/p'; }
export USE_AT && USE_AT=$(date -ud '+1 day' +%Y-%m-%dT%H:%MZ)
ran=0
while IFS= read -r line; do
    line=${line//\/var\/lib\/ticketshim/$work/host2}
    case $line in *'state init'* | *'state put'*) rm -f "$work/host2/state" ;; esac
    before=$(chain host2 2>/dev/null) generation=$(generation host2 2>/dev/null)
    (eval "$line") >"$work/out" 2>&1
    is $? 0 "works as it is written: ${line//$work\/host2/…}"
    ran=$((ran + 1))
    case $line in
    *ssh*) is "$(chain host2)" "$(chain host1)" "… and the hosts have the same chain" ;;
    *announce* | *'reseed /'*) is "$(generation host2), $(chain host2)" "$((generation + 1)), $before" "… and a chain is announced" ;;
    *get-secret*) [ -n "${by_seed:-}" ] || by_seed=$(chain host2)
        is "$(chain host2)" "$by_seed" "… and the seed is always the same chain" ;;
    *'reseed --now'*) [ "$(chain host2)" != "$before" ]; ok $? "… and it is another chain" ;;
    esac
done < <(sed -n '/^```sh/,/^```/p' "$docs/operators.md" | grep 'ticketshim state')
is $ran 10 "every such line was run"

# ---- systemd --------------------------------------------------------------------------------------

mkdir "$work/units"
sed "s|/usr/local/bin/ticketshim|$command|" "$docs/systemd/ticketshim-advance.service" | grep -v '^Documentation=' >"$work/units/ticketshim-advance.service"
cp "$docs/systemd/ticketshim-advance.timer" "$work/units/"
# verify: what systemd has to say of these units. It looks at those of other packages too, and here at one whose line is
# deprecated; what it says of them is not ours.
mkdir -p "$work/others/sysinit.target.wants"
printf '[Service]\nExecStart=/bin/true\nMemoryLimit=1G\n' >"$work/others/other.service"
ln -s ../other.service "$work/others/sysinit.target.wants/other.service"
verify() {
    SYSTEMD_UNIT_PATH=$work/others: systemd-analyze verify "$work"/units/ticketshim-* >"$work/verify.out" 2>&1
    ! grep ticketshim-advance "$work/verify.out" >"$work/verify.ours"
}
if command -v systemd-analyze >/dev/null; then
    verify
    ok $? "systemd takes the unit and the timer"
    sed 's/^/# /' "$work/verify.ours"
    echo 'Nonsense=1' >>"$work/units/ticketshim-advance.timer"
    ! verify && grep -q Nonsense "$work/verify.ours"
    ok $? "… and would say it if it did not"
else
    skip "no systemd-analyze (Debian: systemd)" "systemd takes the unit and the timer"
fi
run=$(sed -n 's/^ExecStart=//p' "$work/units/ticketshim-advance.service")
set_clock timer "-259200"
rm -f "$work/host2/state"
TS_CLOCK=$(clock_of timer) LD_PRELOAD=$bin/clock.so "$command" state init "$work/host2/state" >"$work/out"
(eval "${run//\/var\/lib\/ticketshim/$work/host2}") >"$work/out" 2>&1
is $? 0 "what the timer runs works"
[ -s "$work/out" ]; ok $? "… and says what it has erased after three days"
(eval "${run//\/var\/lib\/ticketshim/$work/host2}") >"$work/out" 2>&1
is "$?, $(cat "$work/out")" "0, " "… and nothing the next time"

# ---- Kubernetes -----------------------------------------------------------------------------------

# Both scripts in it: of the init container, and the loop of the one that advances.
script() { awk -v n="$1" '/- \|$/ { i++; at = match($0, /-/); next } i == n && match($0, /[^ ]/) > at { print; next } i == n { exit }' "$docs/kubernetes/secret.yaml"; }
keys=$work/emptydir
mkdir -m 777 "$keys" && chmod 777 "$keys"
init=$(script 1)
like "$init" "*mkdir*ticketshim state init --hex-env SEED*cp *" "the init container's script is found"
init=${init//\/keys/$keys}
init=${init//\/usr\/local\/lib\/libticketshim.so.0/$lib}
mkdir "$work/path" && ln -s "$command" "$work/path/ticketshim"
for start in first second; do
    SEED=$(get-secret) PATH=$work/path:$PATH sh -ec "$init" >"$work/out" 2>&1
    is $? 0 "it works at the $start start of a pod"
done
server pod "TICKETSHIM_STATE=$keys/own/state"
get "$port" pod
rm -rf "$keys/own"
SEED=$(get-secret) PATH=$work/path:$PATH sh -ec "$init" >"$work/out" 2>&1
server other-pod "TICKETSHIM_STATE=$keys/own/state"
is "$(fate "$port" pod), $(counter "$port" opened)" "$both, 2" "two pods with the same seed share tickets"
is "$(log_of pod)$(log_of other-pod)" 00 "… and the file is refused by none"
loop=$(script 2)
loop=${loop//\/keys/$keys}
loop=${loop/sleep 3600 &/kill \$\$}
PATH=$work/path:$PATH sh -c "$loop" >"$work/out" 2>&1
is "$?, $(cat "$work/out")" "0, " "the loop that advances runs, and ends at SIGTERM"
finished
