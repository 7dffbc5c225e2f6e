/*
 * allocations.c: with the core in a context, a server asks for memory once more
 * for each SSL than libssl alone does, and for a ticket no more often (see
 * compare() below).
 *
 * Both are in this process: a context with the core, and one that was given raw
 * ticket keys, where libssl makes the tickets. All calls of the allocator below
 * the server's calls of libssl are counted, whoever makes them; libcrypto's are
 * also counted by themselves, so that the library's are known.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "ts.h"

/* A sanitizer has a malloc() of its own, as memcheck has (c-tests/run). */
#ifdef __has_feature
# if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#  define MALLOC_IS_TAKEN 1
# endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
# define MALLOC_IS_TAKEN 1
#endif

/* ---- counting -------------------------------------------------------------------- */

typedef struct count {
    long all, libcrypto;
    int ssls, tickets;      /* made; made or opened */
} count;

static count now;
static int counting;

#ifndef MALLOC_IS_TAKEN

/* One of libc's own functions, which this program's stand in front of. */
static void next(void *fn, const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);

    if (p == NULL)
        abort();
    memcpy(fn, &p, sizeof(p));
}

void *malloc(size_t n)
{
    static void *(*real)(size_t);

    if (real == NULL)
        next(&real, "malloc");
    now.all += counting;
    return real(n);
}

void *calloc(size_t n, size_t size)
{
    static void *(*real)(size_t, size_t);

    if (real == NULL)
        next(&real, "calloc");
    now.all += counting;
    return real(n, size);
}

void *realloc(void *p, size_t n)
{
    static void *(*real)(void *, size_t);

    if (real == NULL)
        next(&real, "realloc");
    now.all += counting;
    return real(p, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
    static int (*real)(void **, size_t, size_t);

    if (real == NULL)
        next(&real, "posix_memalign");
    now.all += counting;
    return real(p, align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    static void *(*real)(size_t, size_t);

    if (real == NULL)
        next(&real, "aligned_alloc");
    now.all += counting;
    return real(align, n);
}

#endif

static void *take(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    now.libcrypto += counting;
    return malloc(n);
}

static void *retake(void *old, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    now.libcrypto += counting;
    return realloc(old, n);
}

static void give(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

static void restart(void)
{
    static const count zero;

    now = zero;
}

/* ---- a connection of which the server's part is counted ------------------------------ */

/* Room for all that will be written: growing depends on the lengths of signatures. */
static void make_room(BIO *b)
{
    static char bytes[32768];

    if (BIO_write(b, bytes, sizeof(bytes)) != sizeof(bytes)
        || BIO_read(b, bytes, sizeof(bytes)) != sizeof(bytes))
        ts_bail("cannot make room");
}

static ts_conn *conn_new(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer)
{
    ts_conn *c = ts_conn_new(srv, cli, offer);
    SSL *ssl;

    make_room(c->to_server);
    make_room(c->to_client);
    counting = 1;
    ssl = SSL_new(srv);
    counting = 0;
    now.ssls++;
    ts_conn_server_is(c, ssl);
    return c;
}

static void handshake(ts_conn *c)
{
    for (int i = 0; i < 4 && !(c->client.done && c->server.done); i++) {
        if (!c->client.done && SSL_do_handshake(c->client.ssl) == 1) {
            c->client.done = 1;
            c->client.resumed = SSL_session_reused(c->client.ssl);
        }
        counting = 1;
        if (!c->server.done && SSL_do_handshake(c->server.ssl) == 1) {
            c->server.done = 1;
            c->server.resumed = SSL_session_reused(c->server.ssl);
        }
        counting = 0;
        ERR_clear_error();
    }
    ts_conn_pump(c);
}

static void conn_free(ts_conn *c)
{
    SSL *ssl = c->server.ssl;

    if (SSL_up_ref(ssl) != 1)
        ts_bail("cannot hold on to an SSL");
    ts_conn_free(c);
    counting = 1;
    SSL_free(ssl);
    counting = 0;
}

/* ---- what is compared ------------------------------------------------------------------ */

typedef struct side {
    ts_proto proto;
    SSL_CTX *srv, *cli;
    int core;               /* or libssl, with raw keys */
} side;

/* Of these so many more: made, and opened. */
static void tickets(const side *s, int sealed, int opened)
{
    now.tickets += sealed + opened;
    if (s->core)
        ts_expect_core(sealed, opened);
}

static void full(const side *s)
{
    ts_conn *c;

    restart();
    c = conn_new(s->srv, s->cli, NULL);
    handshake(c);
    if (!c->established || c->server.resumed || c->tickets == 0)
        ts_bail("not a full handshake: %s", ts_outcome(c));
    tickets(s, c->tickets, 0);
    conn_free(c);
}

static void resumed(const side *s)
{
    SSL_SESSION *ss = ts_fresh_session(s->srv, s->cli);
    ts_conn *c;

    tickets(s, ts_full_tickets(s->proto), 0);
    restart();
    c = conn_new(s->srv, s->cli, ss);
    handshake(c);
    if (!c->established || !c->server.resumed)
        ts_bail("not resumed: %s", ts_outcome(c));
    tickets(s, c->tickets, 1);
    conn_free(c);
    SSL_SESSION_free(ss);
}

/* One more ticket on a connection that is there. */
static void one_more(const side *s)
{
    ts_conn *c = ts_connect(s->srv, s->cli, NULL);
    int before = c->tickets;

    tickets(s, before, 0);
    restart();
    counting = 1;
    if (ts_new_session_ticket(c->server.ssl) != 1
        || SSL_do_handshake(c->server.ssl) != 1)
        ts_bail("no ticket more");
    counting = 0;
    ts_conn_pump(c);
    if (!c->established || c->tickets != before + 1)
        ts_bail("no ticket more came: %s", ts_outcome(c));
    tickets(s, 1, 0);
    ts_conn_free(c);
}

static const struct row {
    const char *name;
    void (*work)(const side *s);
    int only13;
} rows[] = {
    { "a full handshake", full, 0 },
    { "a resumed handshake", resumed, 0 },
    { "SSL_new_session_ticket()", one_more, 1 },
};

/*
 * Does libssl ask for the same each time? 3.0.2 fetches now more, now less often
 * from the default library context for a handshake; 3.0.19 does not.
 */
static int steady(ts_kind kind, const struct row *row)
{
    unsigned long version = OpenSSL_version_num();

    return kind == TS_OWN_LIBRARY || row->work == one_more
        || version < 0x30000000 || version >= 0x30000130;
}

static count measure(const struct row *row, const side *s)
{
    row->work(s);
    return now;
}

/*
 * The library's own calls are, exactly:
 *
 *  - for each SSL one: what it knows of the connection;
 *  - for each ticket, made or opened, one: what the cipher is to do with it.
 *
 * The second stands for libssl's own cipher, whose state is in memory too, so
 * that a ticket costs nothing more. In a plain context it costs less: there
 * libssl does not fetch HMAC for each ticket and has no parameters to copy. That
 * saves three calls in 3.5 and 4.0, six in 3.0, and there is none of it in 1.1.1.
 */
static void compare(ts_kind kind, ts_proto proto, const struct row *row,
                    const side *core, const side *stock)
{
    int saved = kind == TS_PLAIN && OpenSSL_version_num() >= 0x30000000 ? 3 : 0;
    count with, alone, again;
    char what[96];
    long limit;

    BIO_snprintf(what, sizeof(what), "%s, %s: %s", ts_proto_name(proto),
                 ts_kind_name(kind), row->name);
    /* What is made once, on either side. */
    for (int i = 0; i < 3; i++) {
        measure(row, core);
        measure(row, stock);
    }
    with = measure(row, core);
    alone = measure(row, stock);
    ts_diag("%s: core %ld (libcrypto %ld), libssl alone %ld", what, with.all,
            with.libcrypto, alone.libcrypto);
    ts_is_int(with.all - with.libcrypto, with.ssls + with.tickets,
              "%s: one for each of %d SSL and %d tickets is the library's", what,
              with.ssls, with.tickets);
    ts_ok(with.ssls == alone.ssls && with.tickets == alone.tickets
          && with.ssls + with.tickets > 0, "%s: … as many as without", what);
    /* In that context too the library knows of each connection. */
    ts_is_int(alone.all - alone.libcrypto, alone.ssls,
              "%s: … without, one for each SSL", what);
    if (!steady(kind, row)) {
        ts_note("n/a: %s: this libssl does not ask for the same each time", what);
        return;
    }
    limit = alone.libcrypto + with.ssls - saved * with.tickets;
    if (!ts_ok(with.all <= limit, "%s: libssl's own number %+ld at most", what,
               limit - alone.libcrypto))
        ts_diag("  got %ld, at most %ld", with.all, limit);
    /* Of its two callbacks libssl asks by the one for which it fetches the MAC. */
    if (kind != TS_PLAIN)
        ts_ok(with.all > alone.libcrypto + with.ssls - 3 * with.tickets,
              "%s: … and libssl fetches the MAC itself", what);
    again = measure(row, core);
    ts_is_int(again.all, with.all, "%s: … and the same again", what);
    again = measure(row, stock);
    ts_is_int(again.all, alone.all, "%s: … and so without", what);
}

static void side_up(side *s, ts_kind kind, ts_proto proto, int core)
{
    ts_raw_keys keys;

    s->proto = proto;
    s->core = core;
    s->srv = ts_server_ctx_of(kind, proto);
    s->cli = ts_client_ctx(proto);
    /* Tickets need no cache, and a table that grows would be counted. */
    SSL_CTX_set_session_cache_mode(s->srv, SSL_SESS_CACHE_OFF);
    ts_raw_keys_make(&keys, 5);
    if (!core && ts_set_raw_keys(s->srv, &keys) != 1)
        ts_bail("cannot set raw ticket keys");
}

static void side_down(side *s)
{
    SSL_CTX_free(s->srv);
    SSL_CTX_free(s->cli);
}

int main(void)
{
#ifdef MALLOC_IS_TAKEN
    ts_ok(1, "n/a: a sanitizer has its own malloc()");
    ts_expect_core_unused();
    return ts_done();
#endif
    if (CRYPTO_set_mem_functions(take, retake, give) != 1)
        ts_bail("libcrypto has memory already");
    for (ts_kind kind = TS_PLAIN; kind < TS_N_KINDS; kind++) {
        if (!ts_have_kind(kind))
            continue;
        for (const ts_proto *p = ts_tls_protos; *p != TS_PROTO_END; p++) {
            side core, stock;

            side_up(&core, kind, *p, 1);
            side_up(&stock, kind, *p, 0);
            ts_expect_contexts(3, 1, "one server with the core, one without");
            for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                if (rows[i].only13
                    && (*p != TS_TLS13 || !ts_have_new_session_ticket()))
                    continue;
                compare(kind, *p, &rows[i], &core, &stock);
            }
            side_down(&core);
            side_down(&stock);
        }
    }
    return ts_done();
}
