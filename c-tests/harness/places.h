/*
 * places.h: tickets carried from one place to another (places.c). Part of ts.h.
 *
 * A place is where a ticket is issued or offered: a context, and the name that
 * the client asks for. With stock libssl a ticket opens wherever the key is
 * known; under the shim only where it was issued. The programs in contrast/
 * say what must become of a ticket in each, and run in both.
 */
#ifndef TS_PLACES_H
#define TS_PLACES_H

#include <openssl/ssl.h>

/* ---- contexts that differ ----------------------------------------------------- */

/* How a server context differs from ts_server_ctx(); zero it for no difference. */
typedef struct ts_place {
    const char *sid;              /* session id context; "" sets none */
    const ts_cert *cert;          /* another certificate */
    const ts_cert *client_ca;     /* demands a client certificate of this CA */
    int optional;                 /* … only asks for it */
} ts_place;

SSL_CTX *ts_place_new(ts_proto proto, const ts_place *place);

/* ts_client_ctx() with a certificate (NULL: without one). */
SSL_CTX *ts_client_with(ts_proto proto, const ts_cert *cert);

/* ---- virtual hosts ---------------------------------------------------------------- */

typedef enum ts_switch { TS_IN_SERVERNAME, TS_IN_CLIENT_HELLO } ts_switch;
const char *ts_switch_name(ts_switch where);

/* Ended by one whose name is NULL. */
typedef struct ts_vhost {
    const char *name;
    SSL_CTX *ctx;
} ts_vhost;

/*
 * Connections to `first` are switched to the context of the name that is asked
 * for, byte for byte, with SSL_set_SSL_CTX() and, as servers do it,
 * SSL_set_verify(). `hosts` has to outlive them. A name that is not there, and
 * none, stay with `first`.
 */
void ts_vhosts(SSL_CTX *first, ts_switch where, const ts_vhost *hosts);

/* A list of `issuer` that revokes `cert`, for the caller to free; and its use. */
X509_CRL *ts_crl_new(const ts_cert *issuer, const ts_cert *cert);
void ts_use_crl(SSL_CTX *ctx, X509_CRL *crl);

/* A list of `issuer` that revokes `cert`, into the context, to be looked at. */
void ts_revoke(SSL_CTX *ctx, const ts_cert *issuer, const ts_cert *cert);

/* ---- the journey of a ticket --------------------------------------------------------- */

typedef enum ts_fate {
    TS_NOT_RUN,
    TS_RESUMES,
    TS_FULL,                      /* a full handshake */
    TS_ASKED,                     /* full, and the client was asked for a certificate */
    TS_DENIED,                    /* asked, had none, and was turned away */
    TS_ABORTS                     /* turned away because of the ticket: never asked */
} ts_fate;

/* What the core must have counted for the ticket that was offered. */
typedef enum ts_count {
    TS_COUNT_OPENED,              /* opened += 1: the default where it resumes */
    TS_COUNT_BINDING,             /* refused_binding or refused_policy += 1: the
                                     default elsewhere */
    TS_COUNT_NO_SID,              /* refused_no_sid_ctx += 1 */
    TS_COUNT_NOTHING,             /* the core never got to see it */
    TS_COUNT_KEPT,                /* nor are the new ones its own: the server keeps
                                     the sessions, a ticket is only their name */
    TS_COUNT_ELSEWHERE            /* the program checks that by itself */
} ts_count;

typedef struct ts_journey {
    ts_proto proto;
    const char *what;
    SSL_CTX *from, *to;           /* `to` NULL: where it came from */
    const char *from_name, *to_name;   /* NULL: the client names no server */
    SSL_CTX *cli, *to_cli;        /* `to_cli` NULL: the same; both: a default one */
    ts_fate stock;                /* with libssl's own keys, one per context */
    ts_fate shared;               /* stock, both contexts given the same raw keys */
    ts_fate shim;
    ts_count count;               /* with `counted`, instead of the default */
    int counted;
    /* Called before a handshake: `stage` 0 is where the ticket is issued. */
    void (*before)(ts_conn *c, int stage, void *arg);
    /* … and after it: what else must be so. */
    void (*after)(ts_conn *c, int stage, void *arg);
    void *arg;
} ts_journey;

/*
 * The whole of it: a full handshake at `from`, its ticket to `to`. In a stock
 * run twice, if `shared` says so.
 */
void ts_travel(const ts_journey *j);

/* Its two halves, for chains of tickets. The ticket of stage 0 … */
SSL_SESSION *ts_depart(const ts_journey *j);

/* … and what becomes of `ticket` at `to`. The new ticket, NULL if none came. */
SSL_SESSION *ts_arrive(const ts_journey *j, SSL_SESSION *ticket, ts_fate stock);

/* TICKETSHIM_BIND: the mode that the run is in ("strict" if it is not set). */
const char *ts_bind(void);
int ts_bind_is(const char *mode);

#endif
