/*
 * lane.h: one client and one server that do the same thing again and again, and what it costs the server.
 *
 * Everything is checked as it goes: whether the handshake resumed, how many tickets came, what application data a
 * ticket brought back. A check that fails ends the program, so that nothing that silently fell back looks fast.
 */
#ifndef LANE_H
#define LANE_H

#include <stdint.h>

#include "ts.h"

#define LANE_NAME "server.test"

/* What an operation is. Only calls on the server's SSL are measured, SSL_new() and SSL_free() included. */
typedef enum lane_what {
    LANE_RESUMED,   /* a resumed handshake: opens a ticket; in TLS 1.3 it also seals one */
    LANE_FULL,      /* a full handshake with the tickets that it brings */
    LANE_HELLO,     /* of a resumed handshake, only the call that reads the ClientHello with the ticket */
    LANE_ISSUE      /* SSL_new_session_ticket() and the SSL_do_handshake() that sends it, on one connection */
} lane_what;

typedef struct lane {
    ts_proto proto;
    lane_what what;
    size_t appdata_len;         /* of each ticket; 0: no callback is set */
    int client_cert;            /* the client has one, and the server asks for it */
    int may_miss;               /* a handshake that should resume and does not is counted in `missed` */
    SSL_CTX *srv, *cli;
    OSSL_LIB_CTX *cli_libctx;
    SSL_SESSION *offer;         /* the newest ticket */
    SSL *issuer, *issued_to;    /* LANE_ISSUE's connection */
    unsigned char *appdata;
    /* what happened */
    uint64_t ns;                /* CPU time of the server's calls */
    long tickets, appdata_seen, missed;
    long keys;                  /* tickets under another key than the one before */
    long sealed, opened;        /* what the shim must have counted */
    uint64_t started;
} lane;

/* A lane of its own contexts; with `srv`, of a server context that it shares with the lane that made it. */
void lane_up(lane *l, SSL_CTX *srv);
void lane_down(lane *l);

/* `n` operations; adds to `l->ns`. */
void lane_run(lane *l, long n);

/* Under the shim: has its core sealed and opened so many tickets in this process, and failed never? Otherwise: is it away? */
void lane_check_core(uint64_t sealed, uint64_t opened);

/* Bytes of a ticket beyond the DER of the session in it. */
long lane_overhead(lane *l);

/* Instead of time: a trap before and after each measured call, for steps.c; for callgrind, if it is built for that. */
extern int lane_traps;

#endif
