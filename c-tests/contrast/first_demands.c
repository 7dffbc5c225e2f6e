/*
 * first_demands.c: the first demand for a certificate that a process makes at
 * all comes from a callback, after a ticket from elsewhere was opened. That
 * resumption is ended, and the client makes full handshakes from then on. Each
 * case has a process of its own, because it must be the first there.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "ts.h"

#define NAME "shop.example"

static ts_cert *ca, *member;

static int demand(SSL *ssl, void *arg)
{
    (void)arg;
    SSL_set_verify(ssl, TS_DEMANDS, NULL);
    return 1;
}

static int nothing(SSL *ssl, void *arg)
{
    (void)ssl;
    (void)arg;
    return 1;
}

static int name_sets_mode(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    demand(ssl, arg);
    return SSL_TLSEXT_ERR_OK;
}

static int name_sets_callback(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    SSL_set_cert_cb(ssl, arg != NULL ? demand : nothing, NULL);
    return SSL_TLSEXT_ERR_OK;
}

static int alpn_sets_callback(SSL *ssl, const unsigned char **out, unsigned char *len,
                              const unsigned char *in, unsigned in_len, void *arg)
{
    (void)in_len;
    SSL_set_cert_cb(ssl, arg != NULL ? demand : nothing, NULL);
    *out = in + 1;
    *len = in[0];
    return SSL_TLSEXT_ERR_OK;
}

static void by_mode(SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_servername_callback(ctx, name_sets_mode);
}

static void by_callback(SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_servername_callback(ctx, name_sets_callback);
    SSL_CTX_set_tlsext_servername_arg(ctx, ctx);
}

static void by_alpn(SSL_CTX *ctx)
{
    SSL_CTX_set_alpn_select_cb(ctx, alpn_sets_callback, ctx);
}

static void by_quiet_callback(SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_servername_callback(ctx, name_sets_callback);
    SSL_CTX_set_tlsext_servername_arg(ctx, NULL);
}

static void by_quiet_alpn(SSL_CTX *ctx)
{
    SSL_CTX_set_alpn_select_cb(ctx, alpn_sets_callback, NULL);
}

/* What becomes of the handshakes of a case, in their order. */
enum fate { FULL = 1, RESUMED, ENDED };

static const struct {
    const char *what;
    void (*how)(SSL_CTX *ctx);
    int protos;                   /* libssl asks nothing there in stock */
} cases[] = {
    { "the servername callback sets a verify mode", by_mode, 0 },
    { "the servername callback sets a certificate callback that demands", by_callback, 0 },
    { "the ALPN callback sets a certificate callback that demands", by_alpn, TS_ON(TS_TLS13) },
    { "the servername callback sets a certificate callback that does not", by_quiet_callback, 0 },
    { "the ALPN callback sets a certificate callback that does not", by_quiet_alpn, TS_ON(TS_TLS13) },
};

static enum fate go(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer, SSL_SESSION **got)
{
    static const unsigned char wire[] = { 2, 'h', '2' };
    ts_conn *c = ts_conn_new(srv, cli, offer);
    enum fate fate;

    if (SSL_set_alpn_protos(c->client.ssl, wire, sizeof(wire)) != 0
        || SSL_set_tlsext_host_name(c->client.ssl, NAME) != 1)
        ts_bail("cannot set up a client");
    ts_conn_handshake(c);
    fate = !c->established ? ENDED : c->server.resumed ? RESUMED : FULL;
    if (got != NULL)
        *got = ts_session(c);
    ts_conn_free(c);
    return fate;
}

/* In a process of its own: the fates, two bits each. */
static int run(ts_proto p, int which)
{
    SSL_CTX *elsewhere = ts_server_ctx(p), *here = ts_server_ctx(p),
        *cli = ts_client_with(p, member);
    struct ticketshim_stats stats = { 0 };
    SSL_SESSION *from_there, *own;
    int fates;

    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(here), ca->x509) != 1)
        ts_bail("cannot trust a CA");
    cases[which].how(here);
    if (go(elsewhere, cli, NULL, &from_there) != FULL)
        ts_bail("not a full handshake");
    fates = go(here, cli, from_there, NULL);
    fates |= go(here, cli, from_there, NULL) << 2;
    fates |= go(here, cli, NULL, &own) << 4;
    fates |= go(here, cli, own, NULL) << 6;
    SSL_SESSION_free(from_there);
    SSL_SESSION_free(own);
    ts_stats(&stats);
    if (ts_shim_expected() && (stats.sealed == 0 || stats.opened == 0))
        ts_bail("the core was not used");
    return fates;
}

static int apart(ts_proto p, int which)
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0)
        _exit(run(p, which));
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        ts_bail("a process of its own");
    return WEXITSTATUS(status);
}

int main(void)
{
    SSL_CTX *srv, *cli;
    SSL_SESSION *session;

    ca = ts_cert_new("client CA", NULL, TS_CERT_CA);
    member = ts_cert_new("member", ca, 0);
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        for (int i = 0; i < (int)(sizeof(cases) / sizeof(*cases)); i++) {
            int fates, first, second;

            if (cases[i].protos != 0 && !(cases[i].protos & TS_ON(*p)))
                continue;
            fates = apart(*p, i);
            first = fates & 3;
            second = fates >> 2 & 3;
            ts_is_int(first, ts_shim_expected() ? ENDED : FULL, "%s: %s: a ticket from elsewhere",
                      ts_proto_name(*p), cases[i].what);
            ts_is_int(second, FULL, "… and again");
            ts_is_int(fates >> 4 & 3, FULL, "… without a ticket");
            ts_is_int(fates >> 6 & 3, RESUMED, "… its own ticket");
        }
    srv = ts_server_ctx(TS_TLS13);
    cli = ts_client_ctx(TS_TLS13);
    session = ts_fresh_session(srv, cli);
    ts_expect_core(2, 0);
    SSL_SESSION_free(session);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_cert_free(ca);
    ts_cert_free(member);
    return ts_done();
}
