/*
 * session_cache.c: sessions that stay at the server, in libssl's cache or in
 * one of the application's, next to tickets: who is asked, who is told, and
 * what resumes where. A client without tickets (TLS 1.2) and SSL_OP_NO_TICKET
 * (any) use the cache; the core must not get in between.
 */
#include <stdlib.h>
#include <string.h>

#include "ts.h"

/* ---- an external cache, one for the program, as DER ------------------------------- */

#define CACHE_SIZE 16

static struct entry {
    unsigned char id[SSL_MAX_SSL_SESSION_ID_LENGTH];
    unsigned id_len;
    SSL_SESSION *ss;          /* decoded from DER: shares nothing with libssl */
} cache[CACHE_SIZE];
static struct { int new, get, hit, removed; } told;

static struct entry *find(const unsigned char *id, unsigned len)
{
    for (int i = 0; i < CACHE_SIZE; i++)
        if (cache[i].ss != NULL && cache[i].id_len == len
            && memcmp(cache[i].id, id, len) == 0)
            return &cache[i];
    return NULL;
}

static int on_new(SSL *ssl, SSL_SESSION *ss)
{
    unsigned len;
    const unsigned char *id = SSL_SESSION_get_id(ss, &len);

    (void)ssl;
    told.new++;
    for (int i = 0; i < CACHE_SIZE; i++) {
        if (cache[i].ss != NULL)
            continue;
        memcpy(cache[i].id, id, len);
        cache[i].id_len = len;
        cache[i].ss = ts_der_copy(ss);
        return 0; /* no reference kept */
    }
    ts_bail("the cache is full");
}

static SSL_SESSION *on_get(SSL *ssl, const unsigned char *id, int len, int *copy)
{
    struct entry *e = find(id, (unsigned)len);

    (void)ssl;
    told.get++;
    told.hit += e != NULL;
    *copy = 0;
    return e != NULL ? ts_der_copy(e->ss) : NULL;
}

static void on_remove(SSL_CTX *ctx, SSL_SESSION *ss)
{
    unsigned len;
    const unsigned char *id = SSL_SESSION_get_id(ss, &len);
    struct entry *e = find(id, len);

    (void)ctx;
    told.removed++;
    if (e != NULL) {
        SSL_SESSION_free(e->ss);
        e->ss = NULL;
    }
}

static void use_external(SSL_CTX *ctx, int with_remove)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER
                                   | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new);
    SSL_CTX_sess_set_get_cb(ctx, on_get);
    if (with_remove)
        SSL_CTX_sess_set_remove_cb(ctx, on_remove);
}

static void empty_cache(void)
{
    for (int i = 0; i < CACHE_SIZE; i++) {
        SSL_SESSION_free(cache[i].ss);
        cache[i].ss = NULL;
    }
    memset(&told, 0, sizeof(told));
}

/* ---- connections ----------------------------------------------------------------------- */

static SSL_SESSION *outcome_is(ts_proto proto, SSL_CTX *srv, SSL_CTX *cli,
                               SSL_SESSION *offer, int core,
                               const char *outcome, const char *what)
{
    ts_conn *c = ts_connect(srv, cli, offer);
    SSL_SESSION *ss = ts_session(c);

    ts_is_str(ts_outcome(c), outcome, "%s: %s: %s", ts_proto_name(proto), what,
              outcome);
    ts_ok(c->server.err == 0 && c->client.err == 0,
          "… and no call left an error");
    if (core)
        ts_expect_core(c->tickets, c->server.resumed);
    ts_conn_free(c);
    return ss;
}

/* What the external cache was told since the last look. */
static void told_is(int new, int get, int hit, int removed)
{
    ts_ok(told.new == new && told.get == get && told.hit == hit
          && told.removed == removed,
          "… cache: %d new, %d asked for, %d found, %d removed", new, get, hit,
          removed);
    if (told.new != new || told.get != get || told.hit != hit
        || told.removed != removed)
        ts_diag("  it was told: %d new, %d asked for, %d found, %d removed",
                told.new, told.get, told.hit, told.removed);
    memset(&told, 0, sizeof(told));
}

/* ---- without tickets -------------------------------------------------------------------- */

/* The server's tickets are off; two servers share the external cache. */
static void external_no_ticket(ts_proto proto)
{
    int tls13 = proto == TS_TLS13;
    const char *full = tls13 ? "full, 2 tickets" : "full, 0 tickets";
    SSL_CTX *one = ts_server_ctx(proto), *two = ts_server_ctx(proto),
        *cli = ts_client_ctx(proto);
    SSL_SESSION *ss;

    SSL_CTX_set_options(one, SSL_OP_NO_TICKET);
    SSL_CTX_set_options(two, SSL_OP_NO_TICKET);
    use_external(one, 0);
    use_external(two, 0);
    ss = outcome_is(proto, one, cli, NULL, 0, full, "external cache");
    told_is(tls13 ? 2 : 1, 0, 0, 0);
    SSL_SESSION_free(outcome_is(proto, two, cli, ss, 0, ts_resumed(proto),
                                "… at another server with that cache"));
    told_is(tls13, 1, 1, 0);
    empty_cache();
    SSL_SESSION_free(outcome_is(proto, two, cli, ss, 0, full,
                                "… when the cache has forgotten"));
    told_is(tls13 ? 2 : 1, 1, 0, 0);
    empty_cache();
    SSL_SESSION_free(ss);
    SSL_CTX_free(one);
    SSL_CTX_free(two);
    SSL_CTX_free(cli);
}

/* Before TLS 1.3: a client that knows no tickets, at a server that does. */
static void client_without_tickets(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx(proto), *plain = ts_client_ctx(proto),
        *cli = ts_client_ctx(proto);
    SSL_SESSION *by_id, *ticket;

    SSL_CTX_set_options(plain, SSL_OP_NO_TICKET);
    by_id = outcome_is(proto, srv, plain, NULL, 0, "full, 0 tickets",
                       "client without tickets");
    ticket = outcome_is(proto, srv, cli, NULL, 1, "full, 1 ticket",
                        "client with tickets");
    ts_is_int(SSL_CTX_sess_number(srv), 1, "… one session is cached");
    SSL_SESSION_free(outcome_is(proto, srv, plain, by_id, 0,
                                "resumed, 0 tickets", "by its id"));
    SSL_SESSION_free(outcome_is(proto, srv, cli, ticket, 1,
                                "resumed, 0 tickets", "by its ticket"));
    ts_is_int(SSL_CTX_sess_number(srv), 1, "… still one session is cached");
    ts_is_int(SSL_CTX_sess_hits(srv), 2, "… two hits");
    SSL_SESSION_free(by_id);
    SSL_SESSION_free(ticket);
    SSL_CTX_free(srv);
    SSL_CTX_free(plain);
    SSL_CTX_free(cli);
}

/*
 * Resumed by id, and a ticket asked for: the client's session has an id and
 * no ticket, and its hello an empty ticket extension.
 */
static void id_then_ticket(ts_proto proto)
{
    ts_cb cb = TS_CB_INIT;
    SSL_CTX *srv = ts_server_ctx(proto), *plain = ts_client_ctx(proto),
        *cli = ts_client_ctx(proto);
    SSL_SESSION *by_id, *ticket;

    ts_cb_install(srv, &cb);
    SSL_CTX_set_options(plain, SSL_OP_NO_TICKET);
    by_id = outcome_is(proto, srv, plain, NULL, 0, "full, 0 tickets",
                       "an id at first");
    ticket = outcome_is(proto, srv, cli, by_id, 0, "resumed, 1 ticket",
                        "its id from a client that wants tickets");
    ts_is_str(cb.log, "dec:EMPTY gen", "… callbacks: %s", "dec:EMPTY gen");
    ts_expect_core(1, 0);
    SSL_SESSION_free(outcome_is(proto, srv, cli, ticket, 1,
                                "resumed, 0 tickets", "the ticket it got"));
    SSL_SESSION_free(by_id);
    SSL_SESSION_free(ticket);
    SSL_CTX_free(srv);
    SSL_CTX_free(plain);
    SSL_CTX_free(cli);
    ts_cb_reset(&cb);
}

/* ---- with tickets ----------------------------------------------------------------------- */

/* Whatever the cache is set to, tickets do their work, and are not cached. */
static void caches_and_tickets(ts_proto proto)
{
    static const struct {
        long mode;
        const char *name;
    } rows[] = {
        { SSL_SESS_CACHE_OFF, "no cache" },
        { SSL_SESS_CACHE_SERVER, "internal cache" },
        { SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL,
          "no internal cache" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
        SSL_SESSION *ss;

        SSL_CTX_set_session_cache_mode(srv, rows[i].mode);
        ss = outcome_is(proto, srv, cli, NULL, 1, ts_full(proto), rows[i].name);
        SSL_SESSION_free(outcome_is(proto, srv, cli, ss, 1, ts_resumed(proto),
                                    rows[i].name));
        ts_is_int(SSL_CTX_sess_number(srv), 0, "… and none is cached");
        SSL_SESSION_free(ss);
        SSL_CTX_free(srv);
        SSL_CTX_free(cli);
    }
}

/*
 * An application's cache next to tickets, with a remove callback or without:
 * in TLS 1.3 it is told of every session, and never asked for one.
 */
static void external_and_tickets(ts_proto proto, int with_remove)
{
    int tls13 = proto == TS_TLS13;
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss;

    use_external(srv, with_remove);
    ss = outcome_is(proto, srv, cli, NULL, 1, ts_full(proto),
                    with_remove ? "tickets and an external cache that forgets"
                    : "tickets and an external cache");
    told_is(tls13 ? 2 : 0, 0, 0, 0);
    SSL_SESSION_free(outcome_is(proto, srv, cli, ss, 1, ts_resumed(proto),
                                "… its ticket"));
    told_is(tls13, 0, 0, 0);
    empty_cache();
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    empty_cache();
}

/* SSL_CTX_flush_sessions(): cached sessions go, tickets are out of its reach. */
static void flushed(ts_proto proto)
{
    int tls13 = proto == TS_TLS13;
    const char *full = tls13 ? "full, 2 tickets" : "full, 0 tickets";
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *cached, *ticket;

    ticket = outcome_is(proto, srv, cli, NULL, 1, ts_full(proto), "a ticket");
    SSL_CTX_set_options(srv, SSL_OP_NO_TICKET);
    cached = outcome_is(proto, srv, cli, NULL, 0, full, "a cached session");
    ts_flush_sessions(srv);
    ts_is_int(SSL_CTX_sess_number(srv), 0, "… flushed");
    SSL_SESSION_free(outcome_is(proto, srv, cli, cached, 0, full,
                                "the cached one after a flush"));
    SSL_CTX_clear_options(srv, SSL_OP_NO_TICKET);
    SSL_SESSION_free(outcome_is(proto, srv, cli, ticket, 1, ts_resumed(proto),
                                "the ticket after a flush"));
    SSL_SESSION_free(cached);
    SSL_SESSION_free(ticket);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        external_no_ticket(*p);
        if (*p != TS_TLS13) {
            client_without_tickets(*p);
            id_then_ticket(*p);
        }
        caches_and_tickets(*p);
        external_and_tickets(*p, 0);
        external_and_tickets(*p, 1);
        flushed(*p);
    }
    return ts_done();
}
