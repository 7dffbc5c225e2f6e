/*
 * binding_hello.c: a client that says two things. The name changes after a
 * HelloRetryRequest; the server_name extension is written by hand.
 */
#include <string.h>

#include "ts.h"

#define A "a.example"
#define B "b.example"

/* ---- another name after a HelloRetryRequest (TLS 1.3) ------------------------------ */

typedef struct retry {
    const char *second;           /* the name in the second ClientHello; NULL: none */
    int hellos;
} retry;

/* At the client: the name in its next ClientHello is another one. */
static void on_hello(int write_p, int version, int type, const void *buf,
                     size_t len, SSL *ssl, void *arg)
{
    ts_conn *c = ts_conn_of(ssl);
    retry *r = arg;

    (void)version;
    if (write_p || type != SSL3_RT_HANDSHAKE || len < 1
        || *(const unsigned char *)buf != SSL3_MT_CLIENT_HELLO
        || r->hellos++ > 0)
        return;
    if (SSL_set_tlsext_host_name(c->client.ssl, r->second) != 1)
        ts_bail("cannot change the server's name");
}

/* The server takes a group for which the client sent no share. */
static void demand_retry(ts_conn *c, int stage, void *arg)
{
    if (stage == 0)
        return;
    ((retry *)arg)->hellos = 0;
    if (SSL_set1_groups_list(c->server.ssl, "P-384") != 1)
        ts_bail("cannot set a group");
    SSL_set_msg_callback(c->server.ssl, on_hello);
    SSL_set_msg_callback_arg(c->server.ssl, arg);
}

static void two_hellos(ts_conn *c, int stage, void *arg)
{
    (void)c;
    if (stage == 1)
        ts_is_int(((retry *)arg)->hellos, 2, "… after a HelloRetryRequest");
}

/*
 * The ticket is looked at twice. `twice`: it opens in the first ClientHello,
 * and the second is what counts.
 */
static void names_in_two_hellos(void)
{
    static const struct {
        const char *what, *issued, *first, *second;
        int opened, binding;
        ts_fate shim;
    } rows[] = {
        { "A, then A", A, A, A, 2, 0, TS_RESUMES },
        { "A's ticket: A, then B", A, A, B, 1, 1, TS_FULL },
        { "A's ticket: B, then A", A, B, A, 1, 1, TS_RESUMES },
        { "A's ticket: B, then B", A, B, B, 0, 2, TS_FULL },
        { "A's ticket: A, then no name", A, A, NULL, 1, 1, TS_FULL },
        { "a ticket without a name: none, then A", NULL, NULL, A, 1, 1, TS_FULL },
        { "a ticket without a name: A, then none", NULL, A, NULL, 1, 1, TS_RESUMES },
    };
    SSL_CTX *ctx = ts_server_ctx(TS_TLS13), *a = ts_server_ctx(TS_TLS13),
        *b = ts_server_ctx(TS_TLS13);
    const ts_vhost hosts[] = { { A, a }, { B, b }, { NULL, NULL } };

    ts_vhosts(ctx, TS_IN_SERVERNAME, hosts);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        retry r = { .second = rows[i].second };
        struct ticketshim_stats old, now;
        ts_journey j = { .proto = TS_TLS13, .from = ctx,
            .from_name = rows[i].issued, .to_name = rows[i].first,
            .before = demand_retry, .after = two_hellos, .arg = &r,
            .shim = rows[i].shim, .what = rows[i].what, .counted = 1,
            .count = TS_COUNT_ELSEWHERE };
        SSL_SESSION *ss = ts_depart(&j), *next;

        ts_stats(&old);
        next = ts_arrive(&j, ss, TS_RESUMES);
        ts_stats(&now);
        if (ts_shim_expected())
            ts_ok((int)(now.opened - old.opened) == rows[i].opened
                  && (int)(now.refused_binding - old.refused_binding)
                     == rows[i].binding,
                  "… opened %d, refused: binding %d", rows[i].opened,
                  rows[i].binding);

        /* What it got is for the second name, whatever opened in the first. */
        j.before = NULL;
        j.after = NULL;
        j.counted = 0;
        j.to_name = rows[i].second;
        j.shim = TS_RESUMES;
        j.what = "… and the ticket that came of it, for the second name";
        SSL_SESSION_free(ts_arrive(&j, next, TS_RESUMES));
        if (rows[i].second == NULL || rows[i].first == NULL
            || strcmp(rows[i].first, rows[i].second) != 0) {
            j.to_name = rows[i].first;
            j.shim = TS_FULL;
            j.what = "… and for the first";
            SSL_SESSION_free(ts_arrive(&j, next, TS_RESUMES));
        }
        SSL_SESSION_free(ss);
        SSL_SESSION_free(next);
    }
    SSL_CTX_free(ctx);
    SSL_CTX_free(a);
    SSL_CTX_free(b);
}

/* ---- an external PSK behind a ticket that opened in the first hello ------------------- */

static const unsigned char psk_key[48] = "a key that client and server agreed on";
static const unsigned char psk_id[] = "an external PSK";

static int find_psk(SSL *ssl, const unsigned char *id, size_t len,
                    SSL_SESSION **session)
{
    (void)ssl;
    *session = len == sizeof(psk_id) && memcmp(id, psk_id, len) == 0
        ? ts_psk_session(psk_key, sizeof(psk_key)) : NULL;
    return 1;
}

static void also_psk(ts_conn *c, int stage, void *arg)
{
    SSL_SESSION *psk;

    demand_retry(c, stage, arg);
    if (stage == 0)
        return;
    psk = ts_psk_session(psk_key, sizeof(psk_key));
    ts_offer_psk(c, psk_id, sizeof(psk_id), psk);
    SSL_SESSION_free(psk);
}

/*
 * A's ticket opens in the first hello. In the second, under B, it does not, and
 * the PSK takes its place: what B then issues is B's, not A's.
 */
static void psk_after_retry(void)
{
    SSL_CTX *ctx = ts_server_ctx(TS_TLS13);
    retry r = { .second = B };
    ts_journey j = { .proto = TS_TLS13, .from = ctx, .from_name = A,
        .to_name = A, .before = also_psk, .after = two_hellos, .arg = &r,
        .shim = TS_RESUMES, .counted = 1, .count = TS_COUNT_ELSEWHERE,
        .what = "A's ticket, then B and an external PSK" };
    SSL_SESSION *ss, *next;

    SSL_CTX_set_psk_find_session_callback(ctx, find_psk);
    ss = ts_depart(&j);
    next = ts_arrive(&j, ss, TS_RESUMES);
    j.before = NULL;
    j.after = NULL;
    j.counted = 0;
    j.shim = TS_FULL;
    j.what = "… the ticket that came of it, to A";
    SSL_SESSION_free(ts_arrive(&j, next, TS_RESUMES));
    j.to_name = B;
    j.shim = TS_RESUMES;
    j.what = "… the ticket that came of it, to B";
    SSL_SESSION_free(ts_arrive(&j, next, TS_RESUMES));
    SSL_SESSION_free(ss);
    SSL_SESSION_free(next);
    SSL_CTX_free(ctx);
}

/* ---- server_name, written by hand (TLS 1.2: no binder covers it) ------------------------ */

/* Replaces the server_name extension in a ClientHello record; its new length. */
static size_t with_extension(const unsigned char *in, size_t len,
                             const unsigned char *ext, size_t ext_len,
                             unsigned char *out)
{
    size_t p = 5 + 4 + 2 + 32, list, n, at, type, old, total;

    p += 1 + (size_t)in[p];
    p += 2 + ((size_t)in[p] << 8 | in[p + 1]);
    p += 1 + (size_t)in[p];
    list = p;
    memcpy(out, in, p + 2);
    n = p + 2;
    for (at = p + 2; at + 4 <= len; at += 4 + old) {
        type = (size_t)in[at] << 8 | in[at + 1];
        old = (size_t)in[at + 2] << 8 | in[at + 3];
        memcpy(out + n, in + at, 4 + old);
        if (type == TLSEXT_TYPE_server_name) {
            out[n + 2] = (unsigned char)(ext_len >> 8);
            out[n + 3] = (unsigned char)ext_len;
            memcpy(out + n + 4, ext, ext_len);
            n += 4 + ext_len;
        } else {
            n += 4 + old;
        }
    }
    total = n - (list + 2);
    out[list] = (unsigned char)(total >> 8);
    out[list + 1] = (unsigned char)total;
    total = n - 9;
    out[6] = 0;
    out[7] = (unsigned char)(total >> 8);
    out[8] = (unsigned char)total;
    total = n - 5;
    out[3] = (unsigned char)(total >> 8);
    out[4] = (unsigned char)total;
    return n;
}

/*
 * Only the server's first answer can be had: the client's Finished is over what
 * it said itself. -1: a fatal alert; 0, 1: does it resume?
 */
static int answer(SSL_CTX *ctx, SSL_CTX *cli, SSL_SESSION *ss,
                  const unsigned char *ext, size_t ext_len)
{
    ts_conn *c = ts_conn_new(ctx, cli, ss);
    unsigned char out[4096];
    char *data;
    size_t len, n;
    int ret;

    if (SSL_set_tlsext_host_name(c->client.ssl, A) != 1)
        ts_bail("cannot set the server's name");
    SSL_do_handshake(c->client.ssl);
    len = (size_t)BIO_get_mem_data(c->to_server, &data);
    n = with_extension((unsigned char *)data, len, ext, ext_len, out);
    if (BIO_reset(c->to_server) != 1
        || BIO_write(c->to_server, out, (int)n) != (int)n)
        ts_bail("cannot rewrite the ClientHello");
    SSL_do_handshake(c->server.ssl);
    ret = c->server.alert_sent >= 0 ? -1 : SSL_session_reused(c->server.ssl);
    ERR_clear_error();
    ts_conn_free(c);
    return ret;
}

#define EXT(bytes) bytes, sizeof(bytes) - 1

static void by_hand(void)
{
    static const struct {
        const char *what, *ext;
        size_t len;
        int stock, shim, opened, binding, sealed;
    } rows[] = {
        { "the same name", EXT("\0\14\0\0\11a.example"), 1, 1, 1, 0, 0 },
        { "another name", EXT("\0\14\0\0\11b.example"), 1, 0, 0, 1, 0 },
        { "the empty name", EXT("\0\3\0\0\0"), 1, 0, 0, 1, 0 },
        /* libssl looks at these only where nothing was resumed. */
        { "the name and a zero byte", EXT("\0\15\0\0\12a.example\0"),
          1, -1, 0, 1, 0 },
        { "a zero byte in front", EXT("\0\15\0\0\12\0a.example"), 1, -1, 0, 1, 0 },
        /* Fatal in both, and not opened before. */
        { "an empty extension", EXT(""), -1, -1, 0, 1, 0 },
        { "an empty list", EXT("\0\0"), -1, -1, 0, 1, 0 },
        { "a type that is no host name", EXT("\0\14\1\0\11a.example"),
          -1, -1, 0, 1, 0 },
        { "two names", EXT("\0\30\0\0\11a.example\0\0\11b.example"),
          -1, -1, 0, 1, 0 },
        { "a list that is longer than it says", EXT("\0\14\0\0\11a.exampleb"),
          -1, -1, 0, 1, 0 },
        { "a name that is longer than its list", EXT("\0\14\0\0\12a.example"),
          -1, -1, 0, 1, 0 },
    };
    SSL_CTX *ctx = ts_server_ctx(TS_TLS12), *cli = ts_client_ctx(TS_TLS12);
    const ts_journey issue = { .proto = TS_TLS12, .from = ctx, .from_name = A,
        .cli = cli, .what = "a ticket" };
    SSL_SESSION *ss = ts_depart(&issue);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ticketshim_stats old, now;
        int want = ts_shim_expected() ? rows[i].shim : rows[i].stock;

        ts_stats(&old);
        ts_is_int(answer(ctx, cli, ss, (const unsigned char *)rows[i].ext,
                         rows[i].len), want, "server_name by hand: %s: %s",
                  rows[i].what, want < 0 ? "a fatal alert" : want ? "resumes"
                  : "full handshake");
        ts_stats(&now);
        if (!ts_shim_expected())
            continue;
        ts_ok((int)(now.opened - old.opened) == rows[i].opened
              && (int)(now.refused_binding - old.refused_binding)
                 == rows[i].binding,
              "… opened %d, refused: binding %d", rows[i].opened, rows[i].binding);
        ts_expect_core((long)(now.sealed - old.sealed),
                       (long)(now.opened - old.opened));
    }
    SSL_SESSION_free(ss);
    SSL_CTX_free(ctx);
    SSL_CTX_free(cli);
}

int main(void)
{
    names_in_two_hellos();
    psk_after_retry();
    by_hand();
    return ts_done();
}
