#!/usr/bin/env bash
# Tickets that are none, offered to live servers under the library: each a full handshake, and counted.
#
#   TS_ATTEMPTS=20000   how many with each server, half of them in each version, after each ticket was offered once (2000)
. "$(dirname "$0")/lib.sh"
attempts=${TS_ATTEMPTS:-2000}
memory_grows=512 # KiB, at most, after each ticket was offered once: what a heap may do to itself

mapfile -t refusals < <(sed -n 's/^ *uint64_t \(refused_[a-z_]*\);$/\1/p' "$root/include/ticketshim.h")
[ ${#refusals[@]} -ge 8 ] || bail "include/ticketshim.h has no reasons to refuse a ticket"
refused() { # refused NAME: of all kinds
    local sum=0 kind
    for kind in "${refusals[@]}"; do sum=$((sum + $(published "$1" "$kind"))); done
    echo $sum
}

# ---- tickets of others -----------------------------------------------------------------------------------

mkdir -m 700 "$work/keys"
"$command" state init "$work/keys/main" >"$work/out" && "$command" state init "$work/keys/known" >"$work/out"
head -c 80 /dev/zero >"$work/zeros"
chmod 644 "$work/zeros"
sessions=() # of all that is not the server under test
collect() { # collect NAME PORT [name=SNI]
    local v
    for v in "${versions[@]}"; do
        shake "$2" "$v" "save=$(ticket "$1" "$v")" "${@:3}"
        [ "$got" = full ] || bail "no ticket of $1 in TLS $v: $got"
        sessions+=("foreign=$(ticket "$1" "$v")")
    done
}
server other # the library, and keys of its own
collect other "$port"
preload='' start_nginx stock 1 ''
collect stock "$port" name=a.test
preload='' start_nginx weak 1 "ssl_session_ticket_key $work/zeros;"
weak=$port
collect weak "$weak" name=a.test
is "$(for v in "${versions[@]}"; do shake "$weak" "$v" name=a.test "offer=$(ticket weak "$v")"; echo -n "$got "; done)" "resumed resumed " \
    "control: stock nginx under keys of zeros takes its tickets"

# ---- what forges them is right ---------------------------------------------------------------------------

preload=$lib
start_nginx known 1 '' "TICKETSHIM_STATE=$work/keys/known" "TICKETSHIM_STATS=$work/known.stats" TICKETSHIM_BIND=none
shake "$port" 1.3 name=a.test
"$here/programs/secrets.py" keys "$work/keys/known" "$(date +%s)" >"$work/secrets"
epoch=$(sed -n "s/^name\[\([0-9]*\)\] $key$/\1/p" "$work/secrets")
link=$(sed -n "s/^link\[$epoch\] //p" "$work/secrets")
for v in "${versions[@]}"; do
    is "$("$programs/sweep" "$port" "$v" forge a.test "weak=$(ticket weak "$v")" "link=$link")" resumed \
        "control: TLS $v, with the server's own link, what is forged resumes"
done

# ---- the sweep ---------------------------------------------------------------------------------------------

# sweep NAME PORT PID VERSION ATTEMPTS: sets $line and $status; adds to $counted and $opened.
counted=0 opened=0 tried=0
sweep() {
    line=$(timeout 900 nice -n 5 "$programs/sweep" "$2" "$4" "$5" a.test ${sessions[@]+"${sessions[@]}"} \
        "weak=$(ticket weak "$4")" 2>"$work/$1.$4.err")
    status=$?
    [ $status = 0 ] || sort "$work/$1.$4.err" | uniq -c | head -n 20 | sed 's/^/# /'
    counted=$((counted + $(part "$line" counted))) opened=$((opened + $(part "$line" opened)))
    tried=$((tried + $(part "$line" attempts)))
}
held() { # held DESCRIPTION: of the last sweep
    echo "# $1: $line"
    is "$status $(part "$line" resumed) $(part "$line" failed)" "0 0 0" "$1: of $(part "$line" attempts) none resumed, none failed"
    is "$(part "$line" full)" "$(part "$line" attempts)" "$1: … each was completed in full, and answered"
    is "$(part "$line" opened)" "$(part "$line" genuine)" "$1: … and the server's own tickets resumed in between"
}
try() { # try NAME PORT PID: all of it
    local v name=$1 before after before_opened before_refused
    counted=0 opened=0 tried=0
    before_opened=$(published "$name" opened) before_refused=$(refused "$name")
    # Each once; what the process keeps for good is then there.
    for v in "${versions[@]}"; do
        sweep "$name" "$2" "$3" "$v" 0
        held "$name, TLS $v, each of $(part "$line" different) once"
    done
    before=$(memory "$3")
    for v in "${versions[@]}"; do
        sweep "$name" "$2" "$3" "$v" $((attempts / 2))
        held "$name, TLS $v, over and over"
    done
    after=$(memory "$3")
    kill -0 "$3"; ok $? "$name: the process lives"
    [ $((after - before)) -le $memory_grows ]; ok $? "$name: memory is flat: $before KiB before, $after KiB after"
    is $(($(refused "$name") - before_refused)) "$counted" "$name: each that libssl handed on was counted as refused"
    is $(($(published "$name" opened) - before_opened)) "$opened" "$name: … and none as opened but the server's own"
    is "$(published "$name" failures)" 0 "$name: … and there was no failure"
    echo "# $name: $tried attempts in all; $(for kind in "${refusals[@]}"; do echo -n "$kind $(published "$name" "$kind") "; done)"
}
start_nginx nginx 1 '' "TICKETSHIM_STATE=$work/keys/main" "TICKETSHIM_STATS=$work/nginx.stats"
collect vhost "$port" name=b.test
try nginx "$port" "$(worker_of "$pid")"
start_s_server s_server "TICKETSHIM_STATE=$work/keys/main" "TICKETSHIM_STATS=$work/s_server.stats"
try s_server "$port" "$pid"
finished
