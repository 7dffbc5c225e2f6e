/*
 * quic.c: tickets of a QUIC server (OSSL_QUIC_server_method, OpenSSL 3.5 and
 * newer), over loopback UDP in this process. Callbacks work as over TCP, except
 * that dec_cb gets the TLS connection inside the QUIC connection.
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep() */
#include "ts.h"

#if OPENSSL_VERSION_NUMBER < 0x30500000L || defined(OPENSSL_NO_QUIC)

int main(void)
{
    ts_note("no QUIC server in this OpenSSL");
    ts_ok(1, "nothing to test");
    ts_expect_core_unused();
    return ts_done();
}

#else

# include <arpa/inet.h>
# include <fcntl.h>
# include <netinet/in.h>
# include <stdlib.h>
# include <string.h>
# include <sys/socket.h>
# include <time.h>
# include <unistd.h>
# include <openssl/quic.h>

static const unsigned char alpn[] = "\x02ts";

/* What a connection was, and what the client got of it. */
typedef struct quic_conn {
    int done, reused, server_reused;
    SSL_SESSION *session[TS_MAX_SESSIONS];
    int n_sessions;
} quic_conn;

typedef struct rig {
    SSL_CTX *srv, *cli;
    SSL *listener;
    struct sockaddr_in to;
    ts_cb cb;
    int gen_quic, dec_quic; /* SSL_is_quic() of the SSL that the callback got */
} rig;

static int udp_socket(struct sockaddr_in *name)
{
    socklen_t len = sizeof(*name);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    memset(name, 0, sizeof(*name));
    name->sin_family = AF_INET;
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)name, sizeof(*name)) != 0
        || getsockname(fd, (struct sockaddr *)name, &len) != 0
        || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        ts_bail("cannot make a UDP socket");
    return fd;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *len,
                       const unsigned char *in, unsigned int in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto((unsigned char **)out, len, alpn,
                              sizeof(alpn) - 1, in, in_len)
        != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

static int keep_session(SSL *ssl, SSL_SESSION *ss)
{
    quic_conn *c = SSL_get_app_data(ssl);

    if (c == NULL || c->n_sessions == TS_MAX_SESSIONS)
        return 0;
    c->session[c->n_sessions++] = ss;
    return 1;
}

static int note_gen(SSL *s, ts_cb *cb)
{
    rig *r = cb->user;

    r->gen_quic = SSL_is_quic(s);
    return 1;
}

static int note_dec(SSL *s, SSL_SESSION *ss, int status, ts_cb *cb)
{
    rig *r = cb->user;

    (void)ss;
    r->dec_quic = SSL_is_quic(s);
    return status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW
        ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_IGNORE_RENEW;
}

static void rig_up(rig *r)
{
    static const ts_cb init = TS_CB_INIT;

    memset(r, 0, sizeof(*r));
    r->cb = init;
    r->cb.user = r;
    r->cb.on_gen = note_gen;
    r->cb.on_dec = note_dec;
    r->cb.appdata = "over QUIC";
    r->cb.appdata_len = 9;
    r->gen_quic = r->dec_quic = -1;

    r->srv = SSL_CTX_new(OSSL_QUIC_server_method());
    r->cli = SSL_CTX_new(OSSL_QUIC_client_method());
    if (r->srv == NULL || r->cli == NULL)
        ts_bail("cannot make a QUIC context");
    ts_use_cert(r->srv, ts_server_cert(), NULL, 0);
    SSL_CTX_set_session_id_context(r->srv, (const unsigned char *)"ts", 2);
    SSL_CTX_set_alpn_select_cb(r->srv, select_alpn, NULL);
    ts_cb_install(r->srv, &r->cb);
    SSL_CTX_set_session_cache_mode(r->cli, SSL_SESS_CACHE_CLIENT
                                   | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(r->cli, keep_session);

    r->listener = SSL_new_listener(r->srv, 0);
    if (r->listener == NULL
        || SSL_set_fd(r->listener, udp_socket(&r->to)) != 1
        || SSL_set_blocking_mode(r->listener, 0) != 1
        || SSL_listen(r->listener) != 1)
        ts_bail("cannot listen");
}

static void rig_down(rig *r)
{
    int fd = SSL_get_fd(r->listener);

    SSL_free(r->listener);
    close(fd);
    SSL_CTX_free(r->srv);
    SSL_CTX_free(r->cli);
    ts_cb_reset(&r->cb);
}

static SSL *new_client(rig *r, SSL_SESSION *offer, quic_conn *c, const char *name)
{
    struct in_addr in = r->to.sin_addr;
    struct sockaddr_in own;
    BIO_ADDR *to = BIO_ADDR_new();
    SSL *ssl = SSL_new(r->cli);

    if (ssl == NULL || to == NULL
        || BIO_ADDR_rawmake(to, AF_INET, &in, sizeof(in), r->to.sin_port) != 1
        || SSL_set_fd(ssl, udp_socket(&own)) != 1
        || SSL_set_blocking_mode(ssl, 0) != 1
        || SSL_set1_initial_peer_addr(ssl, to) != 1
        || SSL_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1) != 0
        || (name != NULL && SSL_set_tlsext_host_name(ssl, name) != 1)
        || SSL_set_app_data(ssl, c) != 1)
        ts_bail("cannot make a QUIC client");
    if (offer != NULL) {
        SSL_SESSION *copy = ts_der_copy(offer);

        if (SSL_set_session(ssl, copy) != 1)
            ts_bail("cannot offer a session");
        SSL_SESSION_free(copy);
    }
    BIO_ADDR_free(to);
    return ssl;
}

/* One connection until `tickets` have come to the client, or five seconds. */
static quic_conn *quic_connect(rig *r, SSL_SESSION *offer, const char *name,
                               int tickets)
{
    quic_conn *c = calloc(1, sizeof(*c));
    const struct timespec pause = { 0, 500 * 1000 };
    SSL *client, *server = NULL;
    int fd;

    if (c == NULL)
        ts_bail("no memory");
    client = new_client(r, offer, c, name);
    for (int i = 0; i < 10000 && !(c->done && c->n_sessions >= tickets); i++) {
        if (SSL_do_handshake(client) == 1 && server != NULL)
            c->done = SSL_do_handshake(server) == 1;
        SSL_handle_events(r->listener);
        if (server == NULL)
            server = SSL_accept_connection(r->listener,
                                           SSL_ACCEPT_CONNECTION_NO_BLOCK);
        if (server != NULL)
            SSL_handle_events(server);
        SSL_handle_events(client);
        ERR_clear_error();
        nanosleep(&pause, NULL);
    }
    c->reused = SSL_session_reused(client);
    c->server_reused = server != NULL && SSL_session_reused(server);
    fd = SSL_get_fd(client);
    SSL_free(server);
    SSL_free(client);
    close(fd);
    ERR_clear_error();
    return c;
}

static void quic_free(quic_conn *c)
{
    for (int i = 0; i < c->n_sessions; i++)
        SSL_SESSION_free(c->session[i]);
    free(c);
}

static void is_full(const quic_conn *c, const char *what)
{
    ts_ok(c->done, "%s: a connection", what);
    ts_ok(!c->reused && !c->server_reused, "%s: … not resumed", what);
    ts_is_int(c->n_sessions, 2, "%s: … brings two tickets", what);
}

static void is_resumed(const quic_conn *c, const char *what)
{
    ts_ok(c->done, "%s: a connection", what);
    ts_ok(c->reused && c->server_reused, "%s: … resumed, say both", what);
    ts_is_int(c->n_sessions, 1, "%s: … brings a new ticket", what);
}

/* The tickets of both a QUIC connection and a TLS one, at the other. */
static void tls_and_quic(rig *r, SSL_SESSION *quic)
{
    SSL_CTX *srv = ts_server_ctx(TS_TLS13), *cli = ts_client_ctx(TS_TLS13);
    SSL_SESSION *tls = ts_fresh_session(srv, cli), *mixed;
    const unsigned char *ticket;
    size_t len;
    quic_conn *q;
    ts_conn *c;

    /* Sessions of a kind each client takes, with the other's ticket inside. */
    ticket = ts_ticket(quic, &len);
    mixed = ts_with_ticket(tls, ticket, len);
    c = ts_connect(srv, cli, mixed);
    ts_is_str(ts_outcome(c), "full, 2 tickets", "a QUIC ticket over TCP");
    ts_conn_free(c);
    SSL_SESSION_free(mixed);

    ticket = ts_ticket(tls, &len);
    mixed = ts_with_ticket(quic, ticket, len);
    q = quic_connect(r, mixed, NULL, 2);
    is_full(q, "a TLS ticket over QUIC");
    quic_free(q);
    SSL_SESSION_free(mixed);
    ts_expect_core(2 + 2 + 2, 0);

    SSL_SESSION_free(tls);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

int main(void)
{
    quic_conn *first, *c;
    SSL_SESSION *bad, *named;
    rig r;

    rig_up(&r);
    first = quic_connect(&r, NULL, NULL, 2);
    is_full(first, "first");
    ts_is_int(r.cb.gen_calls, 2, "gen_cb was called for each");
    ts_is_int(r.gen_quic, 1, "gen_cb got the QUIC connection");
    if (first->n_sessions < 2)
        ts_bail("no tickets to go on with");
    ts_expect_core(2, 0);

    ts_cb_reset(&r.cb);
    c = quic_connect(&r, first->session[0], NULL, 1);
    is_resumed(c, "with a ticket");
    ts_is_int(r.cb.dec_calls, 1, "dec_cb was called");
    ts_is_int(r.dec_quic, 0, "dec_cb got the TLS connection inside");
    ts_is_int(r.cb.dec_status, SSL_TICKET_SUCCESS_RENEW, "… with SUCCESS_RENEW");
    ts_is_mem(r.cb.seen, r.cb.seen_len, "over QUIC", 9, "… and the appdata");
    ts_expect_core(1, 1);
    if (c->n_sessions > 0) {
        quic_conn *next = quic_connect(&r, c->session[0], NULL, 1);

        is_resumed(next, "with the renewed ticket");
        ts_expect_core(1, 1);
        quic_free(next);
    }
    quic_free(c);

    bad = ts_with_flip(first->session[1], 0, 1);
    ts_cb_reset(&r.cb);
    c = quic_connect(&r, bad, NULL, 2);
    is_full(c, "an unknown ticket");
    ts_is_int(r.cb.dec_status, SSL_TICKET_NO_DECRYPT, "… with NO_DECRYPT");
    ts_expect_core(2, 0);
    ts_expect_refused(1, 0, 0);
    quic_free(c);
    SSL_SESSION_free(bad);

    c = quic_connect(&r, NULL, "server.test", 2);
    is_full(c, "with a name");
    named = c->n_sessions > 0 ? c->session[0] : first->session[0];
    ts_expect_core(2, 0);
    {
        quic_conn *next = quic_connect(&r, named, "server.test", 1);

        is_resumed(next, "with a name and its ticket");
        ts_expect_core(1, 1);
        quic_free(next);
    }
    quic_free(c);

    tls_and_quic(&r, first->session[1]);
    quic_free(first);
    rig_down(&r);
    return ts_done();
}

#endif
