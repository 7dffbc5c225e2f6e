/*
 * bounded.c: whatever a program sets on one context, and however often, memory
 * stays what it is and each call takes as long as the first. So it does with
 * ever new connections of ever new settings, and with many contexts at a time.
 */
#define _GNU_SOURCE /* mallinfo2, setenv */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <unistd.h>

#include "ts.h"

static long heap_in_use(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    struct mallinfo2 m = mallinfo2();

    return (long)(m.uordblks + m.hblkhd);
#else
    return 0;
#endif
}

/* Of this process: others may have the processor. */
static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- settings of one context -------------------------------------------------- */

#define CALLS 40000
#define PARTS 8

static SSL_CTX *ctx;
static SSL *ssl;

static int first_cb(SSL *s, int *alert, void *arg)
{
    (void)s;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

static int second_cb(SSL *s, int *alert, void *arg)
{
    return first_cb(s, alert, arg);
}

static void id_context(int i)
{
    unsigned char id[16] = { 0 };

    memcpy(id, &i, sizeof(i));
    if (SSL_CTX_set_session_id_context(ctx, id, sizeof(id)) != 1)
        ts_bail("cannot set the session id context");
}

static void servername(int i)
{
    static int (*const callback[])(SSL *, int *, void *) = { NULL, first_cb, second_cb };

    SSL_CTX_set_tlsext_servername_callback(ctx, callback[i % 3]);
}

static void verify(int i)
{
    SSL_CTX_set_verify(ctx, i % 4, NULL);
    SSL_set_verify(ssl, i % 4, NULL);
}

static void key_callback(int i)
{
    ts_key_cb_set(ctx, ts_have_door(TS_DOOR_EVP_CB) && i % 4 < 2 ? TS_DOOR_EVP_CB : TS_DOOR_OLD_CB, i % 2);
}

static void raw_keys(int i)
{
    ts_raw_keys keys;

    ts_raw_keys_make(&keys, (unsigned char)i);
    if (ts_set_raw_keys(ctx, &keys) != 1 || ts_get_raw_keys(ctx, &keys) != 1)
        ts_bail("no raw keys");
}

static void ticket_callbacks(int i)
{
    SSL_CTX_set_session_ticket_cb(ctx, i % 2 ? ts_gen_cb : NULL, i % 2 ? ts_dec_cb : NULL, NULL);
}

static void switched(int i)
{
    static SSL_CTX *others[2];

    if (i < 0) {
        SSL_CTX_free(others[0]);
        SSL_CTX_free(others[1]);
        return;
    }
    for (int k = 0; k < 2; k++)
        if (others[k] == NULL)
            others[k] = ts_server_ctx(TS_TLS13);
    if (SSL_set_SSL_CTX(ssl, others[i % 2]) != others[i % 2])
        ts_bail("cannot switch");
}

static void settings(const char *what, void (*set)(int i), int calls)
{
    int n = ts_scale(calls) / PARTS + 1;
    double first = 0, last = 0;
    long heap = 0;

    for (int part = 0; part < PARTS; part++) {
        double start = seconds();

        for (int i = 0; i < n; i++)
            set(part * n + i);
        start = seconds() - start;
        if (part == 0)
            heap = heap_in_use();
        if (part < PARTS / 2)
            first = part == 0 || start < first ? start : first;
        else
            last = part == PARTS / 2 || start < last ? start : last;
    }
    heap = heap_in_use() - heap;
    ts_diag("%s: %d times, heap %+ld bytes, %d of them: %.4f s, later %.4f s", what, n * PARTS, heap, n, first,
            last);
    ts_ok(heap < 4096 + 4L * n, "%s, again and again: memory stays", what);
    ts_ok(last < 2 * first + 0.02, "%s, again and again: each time as fast", what);
}

static void one_context(void)
{
    ctx = ts_server_ctx(TS_TLS13);
    ssl = SSL_new(ctx);
    settings("a session id context that never was", id_context, CALLS);
    settings("a servername callback", servername, CALLS);
    settings("a verify mode", verify, CALLS);
    settings("a ticket key callback", key_callback, CALLS);
    settings("ticket callbacks", ticket_callbacks, CALLS);
    settings("raw ticket keys", raw_keys, CALLS);
    settings("another context for a connection", switched, CALLS);
    SSL_free(ssl);
    switched(-1);
    SSL_CTX_free(ctx);
}

/* ---- connections of ever new settings --------------------------------------------- */

#define CONNECTIONS 96
#define AFTER 32 /* by then what is kept of a context is there */

/* Another policy each time. */
static void policy(int i)
{
    SSL_CTX_set_verify_depth(ctx, i);
}

/* Another trust each time, and another store every second time. */
static void trust(int i)
{
    char name[32];
    ts_cert *ca;

    if (i % 2 == 0)
        SSL_CTX_set_cert_store(ctx, X509_STORE_new());
    snprintf(name, sizeof(name), "CA %d", i);
    ca = ts_cert_new(name, NULL, TS_CERT_CA);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca->x509);
    ts_cert_free(ca);
}

/* Another key of the server each time. */
static void certificate(int i)
{
    ts_cert *cert = ts_cert_new("server.test", ts_ca(), 0);

    (void)i;
    ts_use_cert(ctx, cert, NULL, 0);
    ts_cert_free(cert);
}

static void connections(ts_proto proto, const char *what, void (*set)(int i))
{
    SSL_CTX *cli = ts_client_ctx(proto);
    int n = ts_scale(CONNECTIONS), bad = 0;
    long heap = 0;

    ctx = ts_server_ctx(proto);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* libssl's own, which grows */
    ts_ask_client_cert(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    for (int i = 0; i < n + AFTER; i++) {
        char name[32];
        ts_conn *c;

        if (i == AFTER)
            heap = heap_in_use();
        set(i);
        snprintf(name, sizeof(name), "host%d.test", i);
        c = i % 2 ? ts_connect(ctx, cli, NULL) : ts_connect_to(ctx, cli, NULL, name);
        ts_expect_core(c->tickets, 0);
        bad += !c->established;
        ts_conn_free(c);
    }
    heap = heap_in_use() - heap;
    ts_diag("%s, %s: heap %+ld bytes", ts_proto_name(proto), what, heap);
    ts_ok(bad == 0, "%s: %s for each connection", ts_proto_name(proto), what);
    ts_ok(heap < 64L * n + 4096, "%s: … memory stays", ts_proto_name(proto));
    SSL_CTX_free(ctx);
    SSL_CTX_free(cli);
}

/* ---- many at a time ----------------------------------------------------------------- */

#define ALIVE 4000

static void alive(SSL_CTX **many, int n)
{
    int missing = 0;

    for (int i = 0; i < n; i++) {
        many[i] = SSL_CTX_new(i % 8 ? TLS_server_method() : TLS_method());
        if (many[i] == NULL || SSL_CTX_set_session_id_context(many[i], (const void *)&i, sizeof(i)) != 1)
            ts_bail("no context %d", i);
        SSL_CTX_set_tlsext_servername_callback(many[i], first_cb);
    }
    ts_expect_contexts(n, 0, "all are there");
    for (int i = 0; i < n; i++) {
        SSL *one = SSL_new(many[i * 7L % n]);

        missing += one == NULL || SSL_get_SSL_CTX(one) != many[i * 7L % n];
        SSL_free(one);
    }
    ts_is_int(missing, 0, "many contexts at a time: each has connections");
    for (int i = 0; i < n; i++)
        SSL_CTX_free(many[(i * 3L + 1) % n]);
    ts_expect_contexts(0, 0, "all are gone");
}

static void many_at_a_time(void)
{
    int n = ts_scale(ALIVE);
    SSL_CTX **many;
    long heap;

    n += n % 7 == 0;
    n += n % 3 == 0;
    n += n % 7 == 0;
    many = calloc((size_t)n, sizeof(*many));
    if (many == NULL)
        ts_bail("no memory");
    alive(many, n);
    heap = heap_in_use();
    alive(many, n);
    heap = heap_in_use() - heap;
    ts_diag("%d at a time: heap %+ld bytes the second time", n, heap);
    ts_ok(heap < 4096 + 4L * n, "… and what they had is used again");
    free(many);
}

/*
 * What glibc keeps for the next malloc() counts as in use: it is told to keep
 * nothing, which it can only be when it starts. (Memcheck has a malloc() of its own.)
 */
static void keep_nothing(char **argv)
{
    static const char nothing[] = "glibc.malloc.tcache_count=0";
    const char *now = getenv("GLIBC_TUNABLES");

    if (ts_scale(CALLS) < CALLS || (now != NULL && strcmp(now, nothing) == 0))
        return;
    setenv("GLIBC_TUNABLES", nothing, 1);
    execv("/proc/self/exe", argv);
    ts_bail("cannot start again");
}

int main(int argc, char **argv)
{
    (void)argc;
    keep_nothing(argv);
    many_at_a_time();
    one_context();
    for (const ts_proto *p = ts_tls_protos; *p != TS_PROTO_END; p++) {
        connections(*p, "another policy", policy);
        connections(*p, "another trust", trust);
        connections(*p, "another certificate", certificate);
    }
    return ts_done();
}
