#!/usr/bin/env bash
# Keys shared by workers, restarts, servers and hosts, without a message between them.
. "$(dirname "$0")/lib.sh"

# shares FROM TO DESCRIPTION: a ticket from there resumes here; the counters say that it was the core.
shares() {
    local before after
    get "$1" carried
    before=$(counter "$2" opened)
    is "$(fate "$2" carried)" "$both" "$3"
    after=$(counter "$2" opened)
    is "$((after - before))" 2 "… opened by the core"
}
# refuses PORT NAME DESCRIPTION: those tickets open there no more, and it is the core that says so, not libssl.
refuses() {
    local before after
    before=$(($(counter "$1" expired) + $(counter "$1" unknown_key)))
    is "$(fate "$1" "$2")" "$neither" "$3"
    after=$(($(counter "$1" expired) + $(counter "$1" unknown_key)))
    is "$((after - before))" 2 "… refused by the core"
}
state() { # state NAME: a directory for a state file, its path in $file
    mkdir -m 700 "$work/$1" && file=$work/$1/state
}

# ---- workers -----------------------------------------------------------------------

for how in memory file; do
    settings=()
    if [ $how = file ]; then state workers && settings=("TICKETSHIM_STATE=$file"); fi
    server "workers-$how" ${settings[@]+"${settings[@]}"} -- workers=2 timeout=43200
    master=$port early=("${ports[@]}")
    set_clock "workers-$how" "=$noon"
    shares "${early[0]}" "${early[1]}" "keys from $how: workers forked before the first handshake"
    shares "${early[0]}" "$master" "keys from $how: a worker and its master"
    worker "$master" && late=$port
    shares "${early[0]}" "$late" "keys from $how: a worker forked after the first handshake"
    get "${early[0]}" old
    shake "${early[0]}" 1.3 && before=$key
    set_clock "workers-$how" "=$((noon + 3600))"
    shake "${early[0]}" 1.3
    [ "$key" != "$before" ]; ok $? "keys from $how: an hour later the key is another"
    worker "$master" && later=$port
    shares "$later" "${early[1]}" "keys from $how: a worker forked after a rotation that its master slept through"
    is "$(fate "$later" old)" "$both" "keys from $how: … opens what was sealed before"
    set_clock "workers-$how" "=$((noon + 30 * 86400))"
    worker "$master" && latest=$port
    shares "${early[1]}" "$latest" "keys from $how: a month later, an old worker and a new one"
    refuses "$latest" old "keys from $how: … what was sealed a month ago opens nowhere"
    refuses "${early[0]}" old "keys from $how: … nor at an old worker"
done

# ---- restart, two servers, first start ----------------------------------------------

server alone
first=$pid && get "$port" alone
stop "$first"
server alone
is "$(fate "$port" alone)" "$neither" "without a state file a restart has other keys"
is "$(counter "$port" unknown_key)" 2 "… which is counted"

state restart
server restart "TICKETSHIM_STATE=$file"
get "$port" restart
is "$(stat -c '%a %s' "$file")" "600 400" "a state file was made, for its owner only"
stop "$pid"
server restart "TICKETSHIM_STATE=$file"
is "$(fate "$port" restart)" "$both" "with a state file a restarted server goes on"
is "$(counter "$port" opened)" 2 "… by the core"
one=$port
server second "TICKETSHIM_STATE=$file"
shares "$one" "$port" "two servers on one file"
shares "$port" "$one" "… and the other way"

state race
racers=()
for i in 1 2 3 4 5 6; do
    (exec env -i "LD_PRELOAD=$lib" "TICKETSHIM_STATE=$file" OPENSSL_CONF=/dev/null TICKETSHIM_CONFIG=/dev/null "$bin/server" "$work/cert.pem" "$work/key.pem" \
        >"$work/race.$i" 2>>"$work/race.err") &
    started+=("$!")
done
for i in 1 2 3 4 5 6; do
    for _ in {1..200}; do [ -s "$work/race.$i" ] && break; sleep 0.05; done
    said_ports "$(cat "$work/race.$i")" || bail "server $i of 6 did not start"
    racers+=("$port")
done
get "${racers[0]}" race
agreed=0
for port in "${racers[@]}"; do [ "$(fate "$port" race)" = "$both" ] && agreed=$((agreed + 1)); done
is $agreed 6 "six servers that start at once without a file agree on one"
is "$(ls -A "$work/race")" state "… and leave nothing beside it"

# ---- hosts --------------------------------------------------------------------------

state host-a && a=$file
state host-b && b=$file
set_clock host-a "=$((noon - 4 * 86400))"
server host-a "TICKETSHIM_STATE=$a"
cp -p "$a" "$b"
stop "$pid"
# Days later a restart advances the file of one host; the other's lies there as it was copied.
set_clock host-a "=$((noon - 2 * 86400))"
server host-a "TICKETSHIM_STATE=$a" -- timeout=43200
cmp -s "$a" "$b"; is $? 1 "two hosts: one has advanced its copy of the file two days ago, the other has not"
host_a=$port
set_clock host-a "=$noon" && set_clock host-b "=$noon"
server host-b "TICKETSHIM_STATE=$b" -- timeout=43200
shares "$host_a" "$port" "two hosts: copies of the file made four days ago, tickets from one to the other"
shares "$port" "$host_a" "… and back"
ask "$host_a" context >"$work/null"
cmp "$a" "$b"; ok $? "… and when both files are advanced they are the same, byte for byte"

# A's clock is right. B's differs by ten minutes and is in another epoch.
for skew in +600 -600; do
    edge=$((noon + 1800 - (skew > 0 ? 300 : -300)))
    set_clock host-a "=$edge" && set_clock host-b "=$((edge + skew))"
    shares "$host_a" "$port" "a host whose clock is $skew s off: tickets of the others open there"
    shares "$port" "$host_a" "… and its own open elsewhere"
    shake "$host_a" 1.3 && right=$key
    shake "$port" 1.3
    [ "$key" != "$right" ]; ok $? "… although it seals under another epoch's key"
    is "$(log_of host-b)" 0 "… and says nothing about it"
done

# ---- upgrade, rights, chroot ---------------------------------------------------------

state upgrade
server upgrade "TICKETSHIM_STATE=$file"
get "$port" upgrade && old=$by
is "$(ask "$port" exec)" "done" "a server replaces itself by exec, and keeps its socket"
is "$(fate "$port" upgrade)" "$both" "… and resumes what it sealed before"
shake "$port" 1.3
is "$by $image" "$old 1" "… and is the same process, another image"
is "$(counter "$port" opened)" 2 "… opened by the new image's core"

if [ "$(id -u)" = 0 ]; then
    state drop
    server drop "TICKETSHIM_STATE=$file" -- workers=2 timeout=43200
    master=$port dropped=${ports[0]} kept=${ports[1]}
    set_clock drop "=$noon"
    is "$(ask "$dropped" drop)" "done" "a worker becomes nobody"
    shares "$kept" "$dropped" "… before its first handshake, and has the keys of one that did not"
    for later in 1 13 200; do
        set_clock drop "=$((noon + later * 3600))"
        shares "$kept" "$dropped" "… $later h later too, although it cannot read the file"
    done
    is "$(ask "$master" drop)" "done" "the master becomes nobody"
    worker "$master"
    shares "$kept" "$port" "… and forks workers that share the keys"
    is "$(log_of drop)" 0 "nothing of this is worth a line"

    # Servers that drop root before their first context (Mosquitto, Traffic Server) have read the file by then.
    set_clock early "=$((noon + 200 * 3600))"
    server early "TICKETSHIM_STATE=$file" -- first=drop
    shares "$kept" "$port" "a server that drops root before it makes a context has the keys"
    is "$(log_of early)" 0 "… without a line"
    state early-new
    server early-new "TICKETSHIM_STATE=$file" -- first=drop workers=1
    shares "$port" "${ports[0]}" "one that cannot make the file any more has keys of its own"
    like "$(cat "$work/early-new.err")" "ticketshim: state file refused: $file*uid 65534*" "… and says why"
    state early-own && chown nobody "$work/early-own"
    server early-own "TICKETSHIM_STATE=$file" -- first=drop
    get "$port" early && stop "$pid"
    is "$(stat -c %U "$file")" nobody "one that may makes it"
    server early-again "TICKETSHIM_STATE=$file" -- first=drop
    is "$(fate "$port" early), $(counter "$port" opened)" "$both, 2" "… and finds it again when it is restarted, as root at first"
    is "$(log_of early-own), $(log_of early-again)" "0, 0" "… without a line"

    # Servers that never were root read a file of root's through their group.
    state never && never=$file
    "$command" state init "$file" >"$work/out" && chgrp nogroup "$work/never" "$file" && chmod 750 "$work/never" && chmod 640 "$file"
    server never-root "TICKETSHIM_STATE=$file" && one=$port
    as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    server never-user "TICKETSHIM_STATE=$file" && other=$port
    as=()
    shares "$one" "$other" "a server that never was root reads a file of root's through its group"
    is "$(stat -c %u "/proc/$pid")" 65534 "… and is nobody"
    set_clock advance "+172800"
    TS_CLOCK=$(clock_of advance) LD_PRELOAD=$bin/clock.so "$command" state advance "$file" >"$work/out"
    is "$(stat -c '%a %U %G' "$never")" "640 root nogroup" "… which stays so when root advances it"
    ask "$other" context >"$work/out"
    is "$(log_of never-user)" 0 "nothing of this is worth a line"

    state chroot
    server chroot "TICKETSHIM_STATE=$file" -- workers=1 timeout=43200
    outside=$port
    set_clock chroot "=$noon"
    mkdir -p "$work/jail$work/chroot"
    is "$(ask "${ports[0]}" "chroot $work/jail")" "done" "a worker moves into a chroot"
    shares "$outside" "${ports[0]}" "… and shares the keys with those outside"
    set_clock chroot "=$((noon + 40000))"
    shares "${ports[0]}" "$outside" "… hours later too"
    ask "${ports[0]}" context >"$work/null"
    set_clock chroot "=$((noon + 40120))"
    ask "${ports[0]}" context >"$work/null"
    shares "${ports[0]}" "$outside" "… and after a new context in there"
    is "$(ls -A "$work/jail$work/chroot")" "" "… and makes no file in there"
    cp "$work/cert.pem" "$work/key.pem" "$work/jail$work/"
    server jailed "TICKETSHIM_STATE=$file" -- "first=chroot:$work/jail" timeout=43200
    set_clock jailed "=$((noon + 40120))"
    shares "$outside" "$port" "a server that moves into a chroot before it makes a context (Dovecot) has the keys"
    is "$(log_of jailed), $(ls -A "$work/jail$work/chroot")" "0, " "… without a line, and makes no file in there"
else
    skip "needs root" "workers that drop root, or move into a chroot"
fi
finished
