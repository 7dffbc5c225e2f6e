/*
 * reconfigured.c: a context whose settings one thread sets again and again while
 * others shake hands on it and resume. What is set is always allowed by libssl's
 * own rules for that: whole values, and never a callback's absence.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "ts.h"

#define THREADS 4
#define ROUNDS 40

static SSL_CTX *srv;
static ts_proto proto;
static atomic_int running;
static atomic_long sealed, opened, bad, asked;

static int first_cb(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    asked += arg == &asked;
    return SSL_TLSEXT_ERR_OK;
}

static int second_cb(SSL *ssl, int *alert, void *arg)
{
    return first_cb(ssl, alert, arg);
}

static int always(int ok, X509_STORE_CTX *ctx)
{
    (void)ctx;
    return ok;
}

static void *reconfigure(void *arg)
{
    static int (*const callback[])(SSL *, int *, void *) = { first_cb, second_cb };

    (void)arg;
    for (unsigned i = 0; running > 0; i++) {
        SSL_CTX_set_tlsext_servername_callback(srv, callback[i % 2]);
        SSL_CTX_set_verify(srv, SSL_VERIFY_NONE, i % 2 ? always : NULL);
        SSL_CTX_set_session_id_context(srv, (const void *)"ts", 2);
        SSL_CTX_set_session_ticket_cb(srv, NULL, NULL, NULL);
        if (ts_have_door(TS_DOOR_EVP_CB))
            ts_key_cb_set(srv, TS_DOOR_EVP_CB, 0); /* the core stays */
    }
    return NULL;
}

static void count(ts_conn *c, const char *outcome)
{
    sealed += c->tickets;
    opened += c->server.resumed;
    if (strcmp(ts_outcome(c), outcome) != 0) {
        bad++;
        ts_diag("%s instead of %s", ts_outcome(c), outcome);
    }
}

static void *handshakes(void *arg)
{
    SSL_CTX *cli = ts_client_ctx(proto);

    (void)arg;
    for (int i = 0; i < ts_scale(ROUNDS); i++) {
        ts_conn *c = ts_connect_to(srv, cli, NULL, "server.test");
        SSL_SESSION *ss;

        count(c, ts_full(proto));
        ss = ts_session(c);
        ts_conn_free(c);
        c = ts_connect_to(srv, cli, ss, "server.test");
        count(c, ts_resumed(proto));
        ts_conn_free(c);
        SSL_SESSION_free(ss);
    }
    SSL_CTX_free(cli);
    running--;
    return NULL;
}

static void in_that_very_second(void)
{
    pthread_t thread[THREADS], setter;
    SSL_CTX *cli = ts_client_ctx(proto);

    sealed = opened = bad = asked = 0;
    srv = ts_server_ctx(proto);
    SSL_CTX_set_tlsext_servername_arg(srv, &asked);
    /* The keys of the process are made, which others would not wait for. */
    SSL_SESSION_free(ts_fresh_session(srv, cli));
    ts_expect_core(ts_full_tickets(proto), 0);
    SSL_CTX_free(cli);
    running = THREADS;
    if (pthread_create(&setter, NULL, reconfigure, NULL) != 0)
        ts_bail("cannot start a thread");
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, handshakes, NULL) != 0)
            ts_bail("cannot start a thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    pthread_join(setter, NULL);
    ts_is_int(bad, 0, "%s: all handshakes were what they should be", ts_proto_name(proto));
    ts_ok(asked > 0, "%s: … and the servername callback was called", ts_proto_name(proto));
    ts_expect_core(sealed, opened);
    ts_expect_contexts(1, 0, "the server");
    SSL_CTX_free(srv);
}

int main(void)
{
    ts_before_threads();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        proto = *p;
        in_that_very_second();
    }
    return ts_done();
}
