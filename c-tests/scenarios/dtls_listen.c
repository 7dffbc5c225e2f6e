/*
 * dtls_listen.c: DTLS servers that ask each client for a cookie before they keep
 * anything of it: statelessly with DTLSv1_listen(), which then hands the same SSL
 * to the handshake, or in the handshake with SSL_OP_COOKIE_EXCHANGE. The ticket
 * comes in the second ClientHello, and resumes.
 */
#include <string.h>

#include <openssl/bio.h>

#include "ts.h"

static const unsigned char the_cookie[] = "a cookie of the server's";
static int verified;

static int generate_cb(SSL *ssl, unsigned char *cookie, unsigned int *len)
{
    (void)ssl;
    memcpy(cookie, the_cookie, sizeof(the_cookie));
    *len = sizeof(the_cookie);
    return 1;
}

static int verify_cb(SSL *ssl, const unsigned char *cookie, unsigned int len)
{
    (void)ssl;
    verified++;
    return len == sizeof(the_cookie) && memcmp(cookie, the_cookie, len) == 0;
}

/* Until the client has shown its cookie. 1 when it has. */
static int listen_for(ts_conn *c)
{
    BIO_ADDR *peer = BIO_ADDR_new();
    int ret = 0;

    for (int i = 0; i < 3 && ret < 1; i++) {
        SSL_do_handshake(c->client.ssl);
        ret = DTLSv1_listen(c->server.ssl, peer);
    }
    BIO_ADDR_free(peer);
    return ret;
}

static SSL_SESSION *visit(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer, int listens, const char *outcome)
{
    ts_conn *c = ts_conn_new(srv, cli, offer);
    SSL_SESSION *ss;

    verified = 0;
    if (listens)
        ts_is_int(listen_for(c), 1, "the client has shown its cookie");
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), outcome, "… %s", outcome);
    ts_ok(verified > 0, "… with a cookie");
    ts_expect_core(c->tickets, c->server.resumed);
    ss = ts_session(c);
    ts_conn_free(c);
    return ss;
}

int main(void)
{
    for (int listens = 0; listens < 2; listens++) {
        SSL_CTX *srv = ts_server_ctx(TS_DTLS12), *cli = ts_client_ctx(TS_DTLS12);
        SSL_SESSION *ss, *next;

        ts_note("%s", listens ? "DTLSv1_listen()" : "SSL_OP_COOKIE_EXCHANGE");
        SSL_CTX_set_cookie_generate_cb(srv, generate_cb);
        SSL_CTX_set_cookie_verify_cb(srv, verify_cb);
        SSL_CTX_set_options(srv, SSL_OP_COOKIE_EXCHANGE);
        ss = visit(srv, cli, NULL, listens, ts_full(TS_DTLS12));
        for (int i = 0; i < 2; i++) {
            next = visit(srv, cli, ss, listens, ts_resumed(TS_DTLS12));
            SSL_SESSION_free(next);
        }
        SSL_SESSION_free(ss);
        SSL_CTX_free(srv);
        SSL_CTX_free(cli);
    }
    return ts_done();
}
