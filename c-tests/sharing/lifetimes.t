#!/usr/bin/env bash
# How long tickets live: never longer than their key, nor than TICKETSHIM_MAX_AGE after the last full handshake.
. "$(dirname "$0")/lib.sh"

# step PORT VERSION NAME: offers the ticket of that name, and puts the new one, if one came, in its place.
step() { shake "$1" "$2" "offer=$(ticket "$3" "$2")" "save=$(ticket "$3" "$2")"; }

# ---- the cap, through renewals -------------------------------------------------------

# Keys change each second, so that TLS 1.2 renews its tickets too.
set_clock cap "=$noon"
server cap TICKETSHIM_MAX_AGE=2s TICKETSHIM_ROTATE=1s TICKETSHIM_ACCEPT=1m -- timeout=60
start=$noon
for v in "${versions[@]}"; do
    set_clock cap "=$start"
    refused=$(counter "$port" too_old)
    shake "$port" "$v" "save=$(ticket cap "$v")"
    cp "$(ticket cap "$v")" "$work/unused.pem"
    set_clock cap "=$((start + 1))"
    step "$port" "$v" cap
    is "$got, $tickets" "resumed, 1" "TLS $v: a second later a ticket resumes, and is renewed"
    set_clock cap "=$((start + 2))"
    step "$port" "$v" cap
    is "$got, $tickets" "resumed, 1" "TLS $v: two seconds after the full handshake a renewed one does, and is renewed"
    set_clock cap "=$((start + 3))"
    is "$(counter "$port" too_old)" "$refused" "TLS $v: nothing was refused until here"
    step "$port" "$v" cap
    is "$got" full "TLS $v: a second later the last one, itself a second old, is beyond the cap"
    is "$(counter "$port" too_old)" $((refused + 1)) "TLS $v: … which is counted"
    shake "$port" "$v" "offer=$work/unused.pem"
    is "$got, $(counter "$port" too_old)" "full, $((refused + 2))" "TLS $v: so is the first one"
    set_clock cap "=$((start + 5))"
    step "$port" "$v" cap
    is "$got" resumed "TLS $v: the new full handshake has begun a new count"
    start=$((start + 100))
done

# ---- renewal in TLS 1.2 --------------------------------------------------------------

set_clock renew "=$noon"
server renew -- timeout=43200
shake "$port" 1.2 "save=$(ticket renew 1.2)" && first=$key
step "$port" 1.2 renew
is "$got, $tickets, $(counter "$port" renewed)" "resumed, 0, 0" "TLS 1.2: a ticket under the newest key is not renewed"
set_clock renew "=$((noon + 3600))"
step "$port" 1.2 renew
is "$got, $tickets, $(counter "$port" renewed)" "resumed, 1, 1" "TLS 1.2: a ticket under an older key is"
[ "$key" != "$first" ]; ok $? "TLS 1.2: … under the new key"
step "$port" 1.2 renew
is "$got, $tickets, $(counter "$port" renewed)" "resumed, 0, 1" "TLS 1.2: … and no more then"
shake "$port" 1.3 "save=$(ticket renew 1.3)"
step "$port" 1.3 renew
is "$got, $tickets, $(counter "$port" renewed)" "resumed, 1, 2" "TLS 1.3: always, so that no ticket is used twice"

# ---- the key's end --------------------------------------------------------------------

# An hour of keys and a window of two: what is sealed in hour h opens until the end of hour h + 2.
server end TICKETSHIM_ACCEPT=2h -- timeout=7200
set_clock end "=$noon"
get "$port" end
set_clock end "=$((noon + 7200))"
is "$(fate "$port" end)" "$both" "two hours later a ticket opens"
server end-long TICKETSHIM_ACCEPT=2h -- timeout=604800
set_clock end-long "=$noon"
get "$port" end
set_clock end-long "=$((noon + 1799 + 7200))"
is "$(fate "$port" end)" "$both" "at the end of the hour too"
set_clock end-long "=$((noon + 1800 + 7200))"
is "$(fate "$port" end)" "$neither" "a second later it does not, although the session would last"
is "$(counter "$port" expired)" 2 "… which is counted as expired"
set_clock end-long "=$noon"
is "$(fate "$port" end)" "$neither" "and a clock that goes back does not bring it back"

# ---- a session timeout beyond the window ---------------------------------------------------

for i in 1 2 3; do get "$port" again; done
is "$(log_of end-long 'session timeout')" 1 "a session timeout longer than the window is said once"
like "$(cat "$work/end-long.err")" "ticketshim: *604800 s*7200 s*TICKETSHIM_ACCEPT*" "… with both times and what to do"
is "$(log_of end)" 0 "one that is as long is not"
server timeout-workers -- timeout=604800 workers=3
for p in "$port" "${ports[@]}"; do get "$p" again; done
is "$(log_of timeout-workers 'session timeout')" 1 "it is said once by a server, not by each of its workers"
finished
