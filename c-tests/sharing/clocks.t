#!/usr/bin/env bash
# Clocks that are wrong, and are set right while a server runs: every handshake is one, and keys end up the same.
. "$(dirname "$0")/lib.sh"
year=$((366 * 86400))
start() { # start NAME CLOCK: a server on $file whose clock shows that
    set_clock "$1" "$2"
    server "$1" "TICKETSHIM_STATE=$file" -- timeout=43200
}
state() { mkdir -m 700 "$work/$1" && file=$work/$1/state; }
agree() { # agree ONE OTHER DESCRIPTION: tickets go both ways
    get "$1" there && get "$2" back
    is "$(fate "$2" there); $(fate "$1" back)" "$both; $both" "$3"
}

# A machine without a battery: 1970 until it has asked for the time.
state epoch
start epoch "=100"
device=$port
get "$device" unset
is "$(fate "$device" unset)" "$both" "in 1970 tickets are sealed and opened"
set_clock epoch "=$noon"
get "$device" now
is "$(fate "$device" now)" "$both" "when the clock is set they are too"
is "$(fate "$device" unset)" "$neither" "… and those of 1970 have expired"
ask "$device" context >"$work/out"
start epoch-other "=$noon"
agree "$device" "$port" "… and another server on the file agrees"
is "$(counter "$device" failures) $(log_of epoch refused)" "0 0" "… with nothing refused"

# A clock that is ten years ahead for a while.
state ahead
start right "=$noon" && right=$port
start ahead "=$noon" && ahead=$port
agree "$right" "$ahead" "two servers on one file agree"
get "$right" kept
set_clock ahead "=$((noon + 10 * year))"
get "$ahead" future
is "$(fate "$ahead" future)" "$both" "ten years ahead tickets are sealed and opened"
is "$(log_of ahead 'the clock is .* days beyond')" 1 "… which is worth a line"
before=$(sha256sum <"$file")
ask "$ahead" context >"$work/out"
is "$(sha256sum <"$file")" "$before" "… the file is not advanced over ten years"
is "$(log_of ahead 'state file refused')" 1 "… which is said once"
set_clock ahead "=$((noon + 61))"
set_clock right "=$((noon + 61))"
get "$ahead" again
is "$(fate "$ahead" again)" "$both" "when the clock is right again handshakes go on"
agree "$ahead" "$right" "… with the keys of all the others"
is "$(fate "$ahead" kept)" "$both" "… also those from before"
set_clock ahead "=$((noon + 300))" && set_clock right "=$((noon + 300))"
ask "$ahead" context >"$work/out"
agree "$ahead" "$right" "… and so it stays"

# One that goes back by hours and days: nothing that was erased comes back, nothing fails.
state back
start back "=$noon"
get "$port" old
set_clock back "=$((noon + 14 * 3600))"
is "$(fate "$port" old)" "$neither" "after the window a ticket opens no more"
get "$port" new
for hours in 1 13 100; do
    set_clock back "=$((noon + (14 - hours) * 3600))"
    is "$(fate "$port" old)" "$neither" "the clock goes back, $hours h: it still does not"
    # From further ahead than clocks may differ: a full handshake, because nobody knows how old it is.
    before=$(counter "$port" too_old)
    if [ $hours = 1 ]; then is "$(fate "$port" new)" "$both" "… and newer ones do"
    else is "$(fate "$port" new), $(($(counter "$port" too_old) - before))" "$neither, 2" "… nor do those of a time that has not come"
    fi
    get "$port" behind
    is "$(fate "$port" behind)" "$both" "… and others are sealed and opened"
done
[ "$(log_of back 'behind the keys in force')" -le 1 ]; ok $? "… with one line at most"
is "$(counter "$port" failures)" 0 "… and no failure"

# 2106, when 32 bits of seconds are over, and beyond.
for at in 4294967295 4294967296 4300000000; do
    state "late-$at"
    start "late-$at" "=$at"
    get "$port" late
    is "$(fate "$port" late), $(counter "$port" opened)" "$both, 2" "at $at s tickets are sealed and opened"
done
finished
