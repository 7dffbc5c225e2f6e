/* lane.c: see lane.h. */
#define _GNU_SOURCE /* syscall() */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lane.h"
#ifdef BENCH_CALLGRIND
#include <valgrind/callgrind.h>
#endif

#define BATCH 16                /* tickets that are issued before the client reads them */

int lane_traps;

/* ---- measuring ------------------------------------------------------------------- */

/* Past the C library, because clock.c has another clock_gettime(). */
static uint64_t cpu(void)
{
    struct timespec t;

    syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Where a measured call begins and ends: for steps.c, or in the program that benches/guard runs, for callgrind. */
static void trap(void)
{
#if defined(BENCH_CALLGRIND)
    CALLGRIND_TOGGLE_COLLECT;
#elif defined(__x86_64__)
    __asm__ volatile("int3" ::: "memory");
#endif
}

static void begin(lane *l)
{
    l->started = cpu();
    if (lane_traps)
        trap();
}

static void end(lane *l)
{
    if (lane_traps)
        trap();
    l->ns += cpu() - l->started;
}

/* ---- callbacks ---------------------------------------------------------------------- */

static lane *lane_of(const SSL *s)
{
    return SSL_get_app_data(s);
}

static int on_new_session(SSL *s, SSL_SESSION *session)
{
    lane *l = lane_of(s);
    size_t len;

    if (!SSL_SESSION_has_ticket(session))
        ts_bail("a session without a ticket");
    l->tickets++;
    l->keys += l->offer == NULL || memcmp(ts_ticket(l->offer, &len), ts_ticket(session, &len), 16) != 0;
    SSL_SESSION_free(l->offer);
    l->offer = session;
    return 1;
}

static int on_make_ticket(SSL *s, void *arg)
{
    lane *l = lane_of(s);

    (void)arg;
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(s), l->appdata, l->appdata_len);
}

static SSL_TICKET_RETURN on_ticket(SSL *s, SSL_SESSION *session, const unsigned char *name, size_t name_len,
                                   SSL_TICKET_STATUS status, void *arg)
{
    lane *l = lane_of(s);
    void *data;
    size_t len;

    (void)name;
    (void)name_len;
    (void)arg;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) == 1 && len == l->appdata_len
        && memcmp(data, l->appdata, len) == 0)
        l->appdata_seen++;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* ---- a handshake -------------------------------------------------------------------- */

static int wants_more(SSL *s, int ret)
{
    return ret <= 0 && SSL_get_error(s, ret) == SSL_ERROR_WANT_READ;
}

static BIO *wire(void)
{
    BIO *b = BIO_new(BIO_s_mem());

    if (b == NULL)
        ts_bail("no memory");
    BIO_set_mem_eof_return(b, -1);
    return b;
}

/* A name of BENCH_NAME_LENGTH bytes: so much longer is the ClientHello. */
static const char *lane_name(void)
{
    static char name[201];
    const char *length = getenv("BENCH_NAME_LENGTH");
    size_t n = length != NULL ? strtoul(length, NULL, 10) : 0;

    if (name[0] == '\0') {
        n = n < sizeof(LANE_NAME) - 1 ? sizeof(LANE_NAME) - 1 : n < sizeof(name) ? n : sizeof(name) - 1;
        memset(name, 'x', n - (sizeof(LANE_NAME) - 1));
        strcat(name, LANE_NAME);
    }
    return name;
}

static SSL *new_client(lane *l, SSL_SESSION *offer)
{
    SSL *s = SSL_new(l->cli);

    if (s == NULL || SSL_set_app_data(s, l) != 1 || SSL_set_tlsext_host_name(s, lane_name()) != 1)
        ts_bail("cannot make a client");
    if (offer != NULL) {
        /* A copy, because a session of TLS 1.3 that was used is spoilt. */
        SSL_SESSION *copy = SSL_SESSION_dup(offer);

        if (copy == NULL || SSL_set_session(s, copy) != 1)
            ts_bail("cannot offer a session");
        SSL_SESSION_free(copy);
    }
    SSL_set_connect_state(s);
    return s;
}

/* One connection, `*server` and `*client` still up. Measured: all calls on the server's, or its first one only. */
static void connect(lane *l, SSL_SESSION *offer, int first_only, SSL **server, SSL **client)
{
    SSL *c = new_client(l, offer), *s;
    BIO *up = wire(), *down = wire();
    int client_ret, server_ret, first = 1;
    char byte;

    BIO_up_ref(up);
    BIO_up_ref(down);
    SSL_set_bio(c, down, up);
    if (!first_only)
        begin(l);
    s = SSL_new(l->srv);
    if (!first_only)
        end(l);
    if (s == NULL || SSL_set_app_data(s, l) != 1)
        ts_bail("cannot make a server");
    SSL_set_bio(s, up, down);
    SSL_set_accept_state(s);
    do {
        client_ret = SSL_do_handshake(c);
        if (client_ret != 1 && !wants_more(c, client_ret))
            ts_bail("the client failed");
        if (first || !first_only)
            begin(l);
        server_ret = SSL_do_handshake(s);
        if (first || !first_only)
            end(l);
        first = 0;
        if (server_ret != 1 && !wants_more(s, server_ret))
            ts_bail("the server failed");
    } while (client_ret != 1 || server_ret != 1);
    /* Tickets of TLS 1.3 come after the handshake. */
    if (!wants_more(c, SSL_read(c, &byte, 1)))
        ts_bail("the client cannot read");
    if (SSL_version(c) == TLS1_2_VERSION && !SSL_session_reused(c) && SSL_SESSION_has_ticket(SSL_get_session(c))
        && l->offer == NULL)
        ts_bail("the client was not told of its ticket");
    *server = s;
    *client = c;
}

/* Closed in good order: otherwise libssl spoils the sessions. */
static void hang_up(lane *l, SSL *server, SSL *client, int measured)
{
    SSL_shutdown(client);
    SSL_shutdown(server);
    ERR_clear_error();
    if (measured)
        begin(l);
    SSL_free(server);
    if (measured)
        end(l);
    SSL_free(client);
}

/* Where `offer` was: is it what came out? */
static void one_handshake(lane *l, SSL_SESSION *offer, int first_only)
{
    SSL *server, *client;
    long tickets = l->tickets, seen = l->appdata_seen;
    int tls13 = l->proto == TS_TLS13, resumed;

    connect(l, offer, first_only, &server, &client);
    resumed = SSL_session_reused(server);
    if (resumed != SSL_session_reused(client))
        ts_bail("resumed on one side only");
    if (resumed != (offer != NULL)) {
        if (!l->may_miss)
            ts_bail(resumed ? "resumed without a ticket" : "did not resume");
        l->missed++;
    }
    tickets = l->tickets - tickets;
    if (tickets != (resumed ? tls13 : ts_full_tickets(l->proto)))
        ts_bail("%ld tickets", tickets);
    l->sealed += tickets;
    l->opened += resumed;
    if (l->appdata_len > 0 && l->appdata_seen - seen != resumed)
        ts_bail("the ticket did not bring its application data back");
    hang_up(l, server, client, !first_only);
}

static void issue(lane *l, long n)
{
    char byte;

    for (long done = 0, batch; done < n; done += batch) {
        long before = l->tickets;
        int traps = lane_traps;
        uint64_t ns;

        batch = n - done < BATCH ? n - done : BATCH;
        begin(l);
        for (long i = 0; i < batch; i++)
            if (SSL_new_session_ticket(l->issuer) != 1 || SSL_do_handshake(l->issuer) != 1)
                ts_bail("cannot issue a ticket");
        end(l);
        if (!wants_more(l->issued_to, SSL_read(l->issued_to, &byte, 1)) || l->tickets - before != batch)
            ts_bail("%ld tickets came, not %ld", l->tickets - before, batch);
        l->sealed += batch;
        /* The last one of each batch is tried: does it resume, is its application data what it should be? */
        ns = l->ns;
        lane_traps = 0;
        one_handshake(l, l->offer, 1);
        lane_traps = traps;
        l->ns = ns;
    }
}

/* BENCH_CLIENT_CAS names in the list that the server would send if it asked for certificates: part of the binding. */
static void add_client_cas(SSL_CTX *ctx)
{
    const char *count = getenv("BENCH_CLIENT_CAS");
    STACK_OF(X509_NAME) *list = sk_X509_NAME_new_null();
    char text[64];

    for (long i = 0, n = count != NULL ? atol(count) : 0; i < n; i++) {
        X509_NAME *name = X509_NAME_new();

        BIO_snprintf(text, sizeof(text), "Certification Authority %ld of a large list", i);
        if (list == NULL || name == NULL
            || X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Example Trust Services", -1,
                                          -1, 0) != 1
            || X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)text, -1, -1, 0) != 1
            || sk_X509_NAME_push(list, name) == 0)
            ts_bail("cannot make a list of CAs");
    }
    SSL_CTX_set_client_CA_list(ctx, list);
}

/* BENCH_TRUSTED certificates of CAs in its store, and clients are asked for one: part of the binding, too. */
static void add_trusted(SSL_CTX *ctx)
{
    const char *count = getenv("BENCH_TRUSTED");

    for (long i = 0, n = count != NULL ? atol(count) : 0; i < n; i++) {
        X509 *like = X509_dup(ts_ca()->x509), *ca = NULL;

        /* Another serial number, and what it is then from its encoding: nobody looks at signatures of those that are trusted. */
        if (like == NULL || ASN1_INTEGER_set(X509_get_serialNumber(like), 1000000 + i) != 1
            || i2d_re_X509_tbs(like, NULL) <= 0 || (ca = X509_dup(like)) == NULL
            || X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) != 1)
            ts_bail("cannot trust so many");
        X509_free(like);
        X509_free(ca);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
}

/*
 * As ts_client_ctx(), in a library context of its own: the clients are in this process for convenience, and shall not
 * contend with the servers for libcrypto's locks.
 */
static SSL_CTX *client_ctx(ts_proto proto, OSSL_LIB_CTX *own)
{
    SSL_CTX *ctx = own != NULL ? SSL_CTX_new_ex(own, NULL, TLS_method()) : NULL;
    int version = proto == TS_TLS12 ? TLS1_2_VERSION : TLS1_3_VERSION;

    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, version) != 1
        || SSL_CTX_set_max_proto_version(ctx, version) != 1
        || X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ts_ca()->x509) != 1)
        ts_bail("cannot make a client's context");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    return ctx;
}

/* ---- lanes ---------------------------------------------------------------------------- */

void lane_up(lane *l, SSL_CTX *srv)
{
    SSL *server, *client;

    l->srv = srv != NULL ? srv : ts_server_ctx(l->proto);
    if (srv != NULL)
        SSL_CTX_up_ref(srv);
    else {
        add_client_cas(l->srv);
        add_trusted(l->srv);
    }
    l->cli_libctx = OSSL_LIB_CTX_new();
    l->cli = client_ctx(l->proto, l->cli_libctx);
    SSL_CTX_sess_set_new_cb(l->cli, on_new_session);
    if (l->client_cert) {
        ts_cert *cert = ts_cert_new("client", ts_ca(), 0);

        ts_ask_client_cert(l->srv);
        ts_use_cert(l->cli, cert, NULL, 0);
        ts_cert_free(cert);
    }
    if (l->appdata_len > 0) {
        l->appdata = malloc(l->appdata_len);
        for (size_t i = 0; l->appdata != NULL && i < l->appdata_len; i++)
            l->appdata[i] = (unsigned char)(i * 7 + 1);
        if (l->appdata == NULL || SSL_CTX_set_session_ticket_cb(l->srv, on_make_ticket, on_ticket, NULL) != 1)
            ts_bail("cannot set the ticket callbacks");
    }
    one_handshake(l, NULL, 1);
    if (l->what == LANE_ISSUE) {
        connect(l, NULL, 1, &server, &client);
        l->sealed += ts_full_tickets(l->proto);
        l->issuer = server;
        l->issued_to = client;
    }
    l->ns = 0;
}

void lane_down(lane *l)
{
    if (l->issuer != NULL)
        hang_up(l, l->issuer, l->issued_to, 0);
    SSL_SESSION_free(l->offer);
    SSL_CTX_free(l->srv);
    SSL_CTX_free(l->cli);
    OSSL_LIB_CTX_free(l->cli_libctx);
    free(l->appdata);
}

void lane_run(lane *l, long n)
{
    if (l->what == LANE_ISSUE) {
        issue(l, n);
        return;
    }
    if (l->may_miss) {
        /* Between two slices time goes by, which would be many epochs of this row's clock. */
        one_handshake(l, NULL, 1);
        l->ns = 0;
    }
    for (long i = 0; i < n; i++) {
        SSL_SESSION *offer = l->what == LANE_FULL ? NULL : l->offer;

        /* Kept while it is offered: the new one takes its place. */
        if (offer != NULL)
            SSL_SESSION_up_ref(offer);
        one_handshake(l, offer, l->what == LANE_HELLO);
        SSL_SESSION_free(offer);
    }
}

void lane_check_core(uint64_t sealed, uint64_t opened)
{
    struct ticketshim_stats s;

    if (ts_shim_loaded() != ts_shim_expected())
        ts_bail("the shim is %sloaded", ts_shim_loaded() ? "" : "not ");
    if (!ts_shim_loaded())
        return;
    ts_stats(&s);
    if (s.sealed != sealed || s.opened != opened || s.failures != 0)
        ts_bail("the core sealed %llu of %llu tickets, opened %llu of %llu, failed %llu times",
                (unsigned long long)s.sealed, (unsigned long long)sealed, (unsigned long long)s.opened,
                (unsigned long long)opened, (unsigned long long)s.failures);
}

/* ---- bytes ----------------------------------------------------------------------------- */

static _Thread_local long der_len;

static SSL_TICKET_RETURN measure(SSL *s, SSL_SESSION *session, const unsigned char *name, size_t name_len,
                                 SSL_TICKET_STATUS status, void *arg)
{
    SSL_SESSION *copy = SSL_SESSION_dup(session);

    (void)name;
    (void)name_len;
    (void)arg;
    /* In TLS 1.2 libssl writes a session into a ticket without its id, and puts the client's in afterwards. */
    if (copy == NULL
        || (SSL_version(s) == TLS1_2_VERSION && SSL_SESSION_set1_id(copy, (const unsigned char *)"", 0) != 1))
        ts_bail("cannot copy a session");
    der_len = i2d_SSL_SESSION(copy, NULL);
    SSL_SESSION_free(copy);
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

long lane_overhead(lane *l)
{
    SSL_SESSION *offer = l->offer;
    size_t len;

    if (l->appdata_len > 0 || l->what == LANE_ISSUE)
        return 0;
    if (SSL_SESSION_up_ref(offer) != 1 || SSL_CTX_set_session_ticket_cb(l->srv, NULL, measure, NULL) != 1)
        ts_bail("cannot measure a ticket");
    ts_ticket(offer, &len);
    one_handshake(l, offer, 1);
    if (SSL_CTX_set_session_ticket_cb(l->srv, NULL, NULL, NULL) != 1)
        ts_bail("cannot take the callback back");
    SSL_SESSION_free(offer);
    return (long)len - der_len;
}
