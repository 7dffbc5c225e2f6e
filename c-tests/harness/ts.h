/*
 * ts.h: the test harness of ticketshim's C suite.
 *
 * A scenario is one C program about one topic. It makes server and client
 * contexts, lets them shake hands in this process over memory, looks at what
 * happened, and prints TAP:
 *
 *     int main(void)
 *     {
 *         SSL_CTX *srv = ts_server_ctx(TS_TLS13), *cli = ts_client_ctx(TS_TLS13);
 *         ts_conn *c = ts_connect(srv, cli, NULL);
 *
 *         ts_is_str(ts_outcome(c), "full, 2 tickets", "TLS 1.3 sends two");
 *         ts_expect_core(2, 0);        // under the shim: 2 sealed, 0 opened
 *         ts_conn_free(c);
 *         SSL_CTX_free(srv);
 *         SSL_CTX_free(cli);
 *         return ts_done();
 *     }
 *
 * The rules:
 *  - stdout is the same, byte for byte, with and without the shim. Nothing
 *    that depends on keys, time, sizes of tickets or the process goes there:
 *    ts_diag() puts it on stderr.
 *  - one TAP line per fact; a sweep over positions is one line, its failing
 *    positions go to ts_diag().
 *  - whatever depends on the version of OpenSSL is in compat.c.
 */
#ifndef TS_H
#define TS_H

#include <stddef.h>
#include <stdint.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <ticketshim.h>

#if defined(__GNUC__)
# define TS_PRINTF(f, a) __attribute__((format(printf, f, a)))
# define TS_NOINLINE __attribute__((noinline))
#else
# define TS_PRINTF(f, a)
# define TS_NOINLINE
#endif

/* ---- TAP (tap.c, program.c) -------------------------------------------- */

/* One test. Prints "ok N - …" or "not ok N - …"; returns `cond`. */
int ts_ok(int cond, const char *fmt, ...) TS_PRINTF(2, 3);

/* As ts_ok, and on a difference `got` and `want` are shown on stderr. */
int ts_is_int(long got, long want, const char *fmt, ...) TS_PRINTF(3, 4);
int ts_is_str(const char *got, const char *want, const char *fmt, ...)
    TS_PRINTF(3, 4);
int ts_is_mem(const void *got, size_t got_len, const void *want,
              size_t want_len, const char *fmt, ...) TS_PRINTF(5, 6);

/* A test that could not run. Prints its reason; a failure when CI=true. */
void ts_skip(const char *reason, const char *fmt, ...) TS_PRINTF(2, 3);

/* A comment on stdout: must be the same with and without the shim. */
void ts_note(const char *fmt, ...) TS_PRINTF(1, 2);

/* A comment on stderr, for whatever may differ. */
void ts_diag(const char *fmt, ...) TS_PRINTF(1, 2);

/* Something the scenario can't go on without failed: exit code 70. */
void ts_bail(const char *fmt, ...) TS_PRINTF(1, 2)
#if defined(__GNUC__)
    __attribute__((noreturn))
#endif
    ;

/* The stride of sweeps over every byte: TS_STRIDE from the environment, or 1. */
size_t ts_stride(void);

/* How often to do what is done `n` times: n / TS_SCALE, and at least 1. */
int ts_scale(int n);

/* Makes what the harness otherwise makes on first use. */
void ts_before_threads(void);

/*
 * The end: prints the plan, compares the shim's counters with what was
 * expected, frees the harness's own things. Returns main()'s exit code.
 */
int ts_done(void);

/* ---- the shim's counters (core.c) --------------------------------------- */

/*
 * With TS_EXPECT_SHIM=1 in the environment ts_done() demands that the shim is
 * loaded and that its counters are exactly what the scenario announced;
 * without it, that the shim is NOT loaded. These calls add to what is
 * expected, so that each can stand next to the handshakes it speaks of. They
 * are about work of the Rust core: contexts with keys of their own, and
 * stateful tickets, count for nothing.
 *
 * A scenario that never announces a seal or an open fails under the shim,
 * unless it says ts_expect_core_unused().
 */
void ts_expect_core(long sealed, long opened);

/* At least so many, where an exact number is not a promise of anybody's. */
void ts_expect_core_min(long sealed, long opened);

/*
 * Refused tickets, checked once this has been called: so many with an unknown
 * key name, exactly; so many that were tampered with (counted as bad MAC or as
 * malformed); and `maybe` more of the latter that libssl itself may have thrown
 * away before anybody looked (it does not pass on tickets of under 32 bytes).
 */
void ts_expect_refused(long unknown_key, long tampered, long maybe);

/* This program never lets the core seal or open, and that is the point. */
void ts_expect_core_unused(void);

/*
 * So many contexts (also clients', and those not yet freed) with the core in
 * them, and with keys of the application's: just now. `where` is for stderr.
 */
void ts_expect_contexts(long attached, long detached, const char *where);

/* At least so many troubles of the shim's own; without this, none. */
void ts_expect_failures(long at_least);

/* Is the shim in this process, whatever was expected? For a second process. */
int ts_shim_loaded(void);

/* 1 when TS_EXPECT_SHIM=1. For stderr and counters; never for stdout. */
int ts_shim_expected(void);

/* ticketshim_get_stats(), or zeros when the shim is not there. */
void ts_stats(struct ticketshim_stats *out);
uint64_t ts_refused(const struct ticketshim_stats *s); /* for whatever reason */

/*
 * Does libssl call its own exported functions so that others can take the call
 * (-Bsymbolic does not), on a machine where the shim does? Then it serialises
 * the session of each ticket once (seen.c).
 */
int ts_libssl_is_seen(void);

/* ---- protocols ----------------------------------------------------------- */

typedef enum ts_proto { TS_TLS12, TS_TLS13, TS_DTLS12 } ts_proto;

/* All three, and the two over a stream; each ends with TS_PROTO_END. */
#define TS_PROTO_END ((ts_proto)-1)
extern const ts_proto ts_all_protos[];
extern const ts_proto ts_tls_protos[];

/* "TLS 1.2", "TLS 1.3", "DTLS 1.2". */
const char *ts_proto_name(ts_proto proto);

/* Tickets that a full handshake brings by default: 1, in TLS 1.3 two. */
int ts_full_tickets(ts_proto proto);

/* What ts_outcome() says by default: "full, 2 tickets", "resumed, 0 tickets". */
const char *ts_full(ts_proto proto);
const char *ts_resumed(ts_proto proto);

/* ---- certificates (pki.c) -------------------------------------------------- */

typedef struct ts_cert {
    X509 *x509;
    EVP_PKEY *key;
} ts_cert;

#define TS_CERT_CA  1   /* may sign others */
#define TS_CERT_RSA 2   /* RSA-2048 instead of P-256 */
#define TS_CERT_BIG 4   /* padded with names to more than 3 KB */

/*
 * A new key and a certificate for `cn` (also as DNS name), signed by `issuer`
 * or, when that is NULL, by itself. Valid for a day around now. The caller
 * frees it.
 */
ts_cert *ts_cert_new(const char *cn, const ts_cert *issuer, int flags);
void ts_cert_free(ts_cert *cert);

/* The suite's CA and its server certificate "server.test"; made on first use. */
const ts_cert *ts_ca(void);
const ts_cert *ts_server_cert(void);

/* ---- contexts (ctx.c) -------------------------------------------------------- */

/*
 * A server with the suite's certificate, this protocol version only, and the
 * session id context "ts". All else as SSL_CTX_new() leaves it.
 */
SSL_CTX *ts_server_ctx(ts_proto proto);

/* A client that trusts ts_ca() and verifies the server. */
SSL_CTX *ts_client_ctx(ts_proto proto);

/* Where a context fetches its algorithms from; the others are since 3.0. */
typedef enum ts_kind {
    TS_PLAIN,        /* SSL_CTX_new(): the default library context */
    TS_PROPERTIES,   /* SSL_CTX_new_ex(NULL, "provider=default", …) */
    TS_OWN_LIBRARY,  /* SSL_CTX_new_ex(a library context, NULL, …) */
    TS_N_KINDS
} ts_kind;

int ts_have_kind(ts_kind kind);          /* does this OpenSSL have it? */
const char *ts_kind_name(ts_kind kind);  /* "plain", … */

/* As the two above, of this kind. */
SSL_CTX *ts_server_ctx_of(ts_kind kind, ts_proto proto);
SSL_CTX *ts_client_ctx_of(ts_kind kind, ts_proto proto);

/* Let `server` ask for a client certificate of ts_ca(). */
void ts_ask_client_cert(SSL_CTX *server);

/* Give `ctx` a certificate, and `chain` (n of them) to send along. */
void ts_use_cert(SSL_CTX *ctx, const ts_cert *cert,
                 ts_cert *const *chain, size_t n);

/* ---- the two ticket callbacks, recorded (callbacks.c) ------------------------ */

/* ts_cb.dec_return: "no wish to change the default", as the page has it. */
#define TS_DEC_DEFAULT (-1)

/*
 * What the callbacks shall do, and what they saw. Zero it with TS_CB_INIT,
 * install it with ts_cb_install(); reset the counts with ts_cb_reset().
 */
typedef struct ts_cb {
    /* orders */
    int gen_return;               /* what gen_cb returns: 1 */
    int dec_return;               /* what dec_cb returns: TS_DEC_DEFAULT */
    const void *appdata;          /* gen_cb sets this (NULL: sets nothing) */
    size_t appdata_len;
    int (*on_gen)(SSL *s, struct ts_cb *cb);  /* instead of gen_return */
    int (*on_dec)(SSL *s, SSL_SESSION *ss, int status, struct ts_cb *cb);
                                              /* instead of dec_return */
    void *user;                   /* the scenario's own */
    /* record */
    int gen_calls;
    int gen_no_session;           /* SSL_get_session() was NULL in gen_cb */
    int gen_set_failed;           /* SSL_SESSION_set1_ticket_appdata() != 1 */
    int dec_calls;
    int dec_status;               /* of the last call; -1: never called */
    int dec_ss_null;              /* ss was NULL in the last call */
    unsigned char keyname[32];
    size_t keyname_len;
    unsigned char *seen;          /* appdata that the last dec_cb got */
    size_t seen_len;
    int seen_null;                /* get0 gave NULL */
    int queue_not_empty;          /* callbacks that found the error queue used */
    char log[400];                /* "gen dec:SUCCESS gen" */
} ts_cb;

#define TS_CB_INIT { .gen_return = 1, .dec_return = TS_DEC_DEFAULT, \
                     .dec_status = -1 }

/* SSL_CTX_set_session_ticket_cb(ctx, ts_gen_cb, ts_dec_cb, cb), checked. */
void ts_cb_install(SSL_CTX *ctx, ts_cb *cb);

/* Forget the record, keep the orders. Also frees what was recorded. */
void ts_cb_reset(ts_cb *cb);

/* A server and a client of one protocol, and the recorder in the server. */
typedef struct ts_rig {
    const char *name;      /* of the protocol */
    ts_proto proto;
    SSL_CTX *srv, *cli;
    ts_cb cb;
} ts_rig;

void ts_rig_up(ts_rig *r, ts_proto proto);
void ts_rig_down(ts_rig *r);

/* The two themselves, for scenarios that install only one. */
int ts_gen_cb(SSL *s, void *arg);
SSL_TICKET_RETURN ts_dec_cb(SSL *s, SSL_SESSION *ss,
                            const unsigned char *keyname, size_t keyname_len,
                            SSL_TICKET_STATUS status, void *arg);

/* "SUCCESS", "NO_DECRYPT", …; "USE_RENEW", "ABORT", …; "?" for another value. */
const char *ts_status_name(int status);
const char *ts_return_name(int ret);

/* ---- connections (conn.c) ------------------------------------------------------ */

#define TS_MAX_SESSIONS 16

typedef struct ts_side {
    SSL *ssl;
    int done;               /* SSL_do_handshake() has returned 1 */
    int failed;             /* a call failed for good */
    int resumed;            /* SSL_session_reused(), when done */
    int alert_sent;         /* last fatal alert, SSL_AD_…; -1: none */
    int alert_received;
    int alerted_first;      /* this side's alert was the connection's first */
    unsigned long err;      /* first error queue entry found after any call,
                               also a successful one; 0: always empty */
    unsigned long last_err; /* the newest such entry */
} ts_side;

typedef struct ts_conn {
    ts_side client, server;
    int established;        /* both done, and a byte went each way after it */
    int tickets;            /* NewSessionTicket with a ticket, at the client */
    int empty_tickets;      /* … with an empty one (TLS 1.2) */
    SSL_SESSION *session[TS_MAX_SESSIONS]; /* one per ticket (1.3); 1.2: the one */
    int n_sessions;
    BIO *to_server, *to_client;            /* what is in flight */
    SSL_SESSION *psk;                      /* ts_offer_psk()'s */
    unsigned char *psk_id;
    size_t psk_id_len;
} ts_conn;

/*
 * Two SSLs over memory, a copy of `offer` (may be NULL) set on the client, so
 * that one session can be offered again and again. Nothing has been sent yet:
 * the scenario may still set up c->client.ssl and c->server.ssl.
 */
ts_conn *ts_conn_new(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *offer);

/*
 * The handshake until nothing moves any more, then a byte each way and
 * whatever the server still sends (tickets). Fills in the record. Returns
 * c->established.
 */
int ts_conn_handshake(ts_conn *c);

/* After a handshake: both sides again send and read what there is. */
void ts_conn_pump(ts_conn *c);

/* ts_conn_new() and ts_conn_handshake(). */
ts_conn *ts_connect(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *offer);

/* The same, and the client asks for the server by this name (SNI). */
ts_conn *ts_connect_to(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *offer,
                       const char *name);

/*
 * Before ts_conn_handshake(): the client sends `data` (some 60 bytes at most)
 * as early data, the server reads what it takes of it. Returns how much.
 */
size_t ts_conn_early(ts_conn *c, const void *data, size_t len);

/* Before the handshake: this SSL is the server, not the one that is there. */
void ts_conn_server_is(ts_conn *c, SSL *ssl);

/*
 * The next connection on the same server SSL, after SSL_clear(): with a new
 * client, and nothing on record. ts_conn_handshake() is still to come.
 */
void ts_conn_next(ts_conn *c, SSL_CTX *client, SSL_SESSION *offer);

/*
 * ts_connect() to a server whose dec_cb will end the handshake after a ticket
 * was opened. In TLS 1.3 libssl 3.0.19 loses the decrypted session then (3.0.22
 * frees it); valgrind.supp forgives that below a function of such a name only.
 */
ts_conn *ts_connect_aborting(SSL_CTX *server, SSL_CTX *client,
                             SSL_SESSION *offer) TS_NOINLINE;

/* Frees it all; the connection is closed in good order, sessions stay valid. */
void ts_conn_free(ts_conn *c);

/* The ts_conn that an SSL of either side belongs to, e.g. in a callback. */
ts_conn *ts_conn_of(const SSL *ssl);

/*
 * What came of it, in words fit for stdout: "full, 2 tickets",
 * "resumed, 1 ticket", "failed, server sent internal_error",
 * "failed, client sent bad_certificate", "failed". A static buffer.
 */
const char *ts_outcome(const ts_conn *c);

/* "internal_error" for SSL_AD_INTERNAL_ERROR, …; "none" for -1. */
const char *ts_alert_name(int alert);

/* A session to offer: the newest one of `c`, with its own reference. */
SSL_SESSION *ts_session(const ts_conn *c);

/* Connect without offering; return a session with a ticket (bails if none). */
SSL_SESSION *ts_fresh_session(SSL_CTX *server, SSL_CTX *client);

/* Tickets received by all clients of this program until now. */
long ts_total_tickets(void);

/* ---- tickets (ticket.c) ---------------------------------------------------------- */

/* The ticket in a client's session (SSL_SESSION_get0_ticket()). */
const unsigned char *ts_ticket(const SSL_SESSION *ss, size_t *len);

/* A copy of the session with another ticket in it (edits its DER). */
SSL_SESSION *ts_with_ticket(SSL_SESSION *ss, const unsigned char *ticket,
                            size_t len);

/* A copy with the byte at `pos` XORed with `mask`; cut to `len` bytes. */
SSL_SESSION *ts_with_flip(SSL_SESSION *ss, size_t pos, unsigned char mask);
SSL_SESSION *ts_with_cut(SSL_SESSION *ss, size_t len);

/* i2d + d2i: what an external cache or a file makes of a session. */
SSL_SESSION *ts_der_copy(SSL_SESSION *ss);

/* ---- several identities in one ClientHello, TLS 1.3 (psk.c) ----------------------- */

/*
 * The client of `c` also offers `session` as an external PSK under this
 * identity, behind the ticket that it may offer. Before the handshake. The
 * identity may be any bytes, also those of another ticket: the server can't
 * tell, and asks its ticket key. (A client of OpenSSL's offers one ticket.)
 */
void ts_offer_psk(ts_conn *c, const unsigned char *id, size_t id_len,
                  SSL_SESSION *session);

/* A session for an external PSK, for ts_offer_psk() and the server's callback. */
SSL_SESSION *ts_psk_session(const unsigned char *key, size_t len);

/*
 * Instead of ts_conn_handshake(), after ts_offer_psk(c, ticket of `session`,
 * session): makes the client's ClientHello, replaces its last binder with the
 * one of a real ticket, and gives it to the server, which may so take the
 * second ticket. It ends there: the client doesn't know of the change. Returns
 * the identity that the server selected, counted from 0; -1: none.
 */
int ts_hello_with_second_ticket(ts_conn *c, SSL_SESSION *session);

/* ---- what depends on OpenSSL's version (compat.c) ----------------------------------- */

/* SSL_new_session_ticket(), or -1 where there is none (1.1.1). */
int ts_new_session_ticket(SSL *ssl);
int ts_have_new_session_ticket(void);

/*
 * SSL_CTX_ctrl() with a NULL context checks a list of signature algorithms;
 * from OpenSSL 3.2 on it crashes.
 */
int ts_null_ctx_checks_lists(void);

/* Puts an entry of somebody else's on the error queue. */
void ts_raise_foreign_error(void);

/* SSL_SESSION_set_time(): the session was made then; so many seconds ago. */
void ts_session_set_time(SSL_SESSION *ss, long when);
void ts_session_set_age(SSL_SESSION *ss, long seconds);

/* Does this side know a certificate of its peer's, from now or from the session? */
int ts_shows_certificate(const SSL *ssl);

/* SSL_CTX_flush_sessions(), of all sessions. */
void ts_flush_sessions(SSL_CTX *ctx);

/*
 * Before anything else: the default library context has the null provider and
 * so nothing to fetch from then on. The suite's certificates are made, with keys
 * of the library context that TS_OWN_LIBRARY has. 0 where there are no library
 * contexts (1.1.1).
 */
int ts_use_null_provider(void);

/*
 * This thread's default library context is another one (OSSL_LIB_CTX_set0_default(3)),
 * until `on` is 0: then that one is freed. No contexts and connections may be left, and
 * the suite's certificates are made anew. Only where ts_have_kind(TS_OWN_LIBRARY).
 */
void ts_other_default_library(int on);

/* Can SHA-256 be fetched from the default library context? 1 in 1.1.1. */
int ts_default_library_has_sha256(void);

#include "keys.h"
#include "child.h"
#include "places.h"
#include "contract.h"
#include "version.h"

#endif
