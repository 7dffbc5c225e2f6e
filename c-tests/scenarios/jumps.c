/*
 * jumps.c: threads that leave libssl out of one of the program's callbacks: with
 * longjmp(), by being cancelled, and by a C++ exception. The connection is lost
 * then, the next ones are not: nothing that others wait for is held, and the
 * library has nothing on the stack that had to be undone. So too out of callbacks
 * that are called in functions which the shim stands in front of.
 *
 * ts-run: TICKETSHIM_LOG=warn
 * ts-run: lib=fault
 */
#include <pthread.h>
#include <setjmp.h>
#include <string.h>

#include "ts.h"
#include "throw.h"

typedef enum place {
    IN_GEN, IN_DEC, IN_SERVERNAME, N_IN_HANDSHAKE,
    IN_NEW = N_IN_HANDSHAKE, IN_SECURITY, IN_FREE, N_PLACES
} place;
typedef enum way { BY_LONGJMP, BY_CANCEL, BY_EXCEPTION, N_WAYS } way;

static const char *const place_name[] = { "gen_cb", "dec_cb", "the servername callback",
    "SSL_CTX_new()", "SSL_CTX_ctrl()", "SSL_set_SSL_CTX()" };
static const char *const way_name[] = { "longjmp()", "pthread_cancel()", "an exception" };

static int armed;
static place where;
static way how;
static jmp_buf back;

static void leave(place here)
{
    if (!armed || here != where)
        return;
    armed = 0;
    if (how == BY_LONGJMP)
        longjmp(back, 1);
    if (how == BY_CANCEL) {
        pthread_cancel(pthread_self());
        pthread_testcancel();
    }
    if (how == BY_EXCEPTION)
        ts_throw();
    ts_bail("it did not leave");
}

static int gen_cb(SSL *ssl, void *arg)
{
    (void)ssl;
    (void)arg;
    leave(IN_GEN);
    return 1;
}

static SSL_TICKET_RETURN dec_cb(SSL *ssl, SSL_SESSION *ss, const unsigned char *name, size_t len,
                                SSL_TICKET_STATUS status, void *arg)
{
    (void)ssl;
    (void)ss;
    (void)name;
    (void)len;
    (void)arg;
    leave(IN_DEC);
    switch (status) {
    case SSL_TICKET_SUCCESS: return SSL_TICKET_RETURN_USE;
    case SSL_TICKET_SUCCESS_RENEW: return SSL_TICKET_RETURN_USE_RENEW;
    default: return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
}

static int servername_cb(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    leave(IN_SERVERNAME);
    return SSL_TLSEXT_ERR_OK;
}

/*
 * What libssl had allocated for the moment is lost when it is left, with the shim
 * and without: valgrind.supp forgives it below functions of such a name only.
 */
TS_NOINLINE static void handshake_that_is_left(void *c)
{
    ts_conn_handshake(c);
}

typedef struct call {
    void (*body)(void *);
    void *arg;
} call;

static void *in_thread(void *arg)
{
    call *what = arg;

    what->body(what->arg);
    return arg;
}

/* Does `body` leave? */
static int leaves(void (*body)(void *), void *arg)
{
    call what = { body, arg };
    pthread_t thread;
    void *result;

    armed = 1;
    switch (how) {
    case BY_LONGJMP:
        if (setjmp(back) != 0)
            return 1;
        body(arg);
        return 0;
    case BY_CANCEL:
        if (pthread_create(&thread, NULL, in_thread, &what) != 0)
            ts_bail("cannot start a thread");
        pthread_join(thread, &result);
        return result == PTHREAD_CANCELED;
    default:
        return ts_catch(body, arg);
    }
}

static void left(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    const char *name = ts_proto_name(proto);
    SSL_SESSION *ss;
    ts_conn *c;

    SSL_CTX_set_session_ticket_cb(srv, gen_cb, dec_cb, NULL);
    SSL_CTX_set_tlsext_servername_callback(srv, servername_cb);
    c = ts_connect_to(srv, cli, NULL, "server.test");
    ss = ts_session(c);
    ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
    c = ts_conn_new(srv, cli, where == IN_GEN ? NULL : ss);
    SSL_set_tlsext_host_name(c->client.ssl, "server.test");
    ts_ok(leaves(handshake_that_is_left, c), "%s: left out of %s with %s", name, place_name[where], way_name[how]);
    /* By then the ticket was opened. */
    ts_expect_core(0, where != IN_GEN);
    ts_conn_free(c);
    for (int i = 0; i < 3; i++) {
        c = ts_connect_to(srv, cli, ss, "server.test");
        ts_is_str(ts_outcome(c), ts_resumed(proto), "%s: … another one after it", name);
        ts_expect_core(c->tickets, 1);
        ts_conn_free(c);
    }
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* ---- functions that the shim stands in front of ----------------------------------- */

static int index_of_ctx;
static SSL_CTX *going, *second, *third;

static void on_new(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
    (void)parent;
    (void)ptr;
    (void)ad;
    (void)index;
    (void)argl;
    (void)argp;
    leave(IN_NEW);
}

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
    (void)ptr;
    (void)ad;
    (void)index;
    (void)argl;
    (void)argp;
    if (parent == going)
        leave(IN_FREE);
}

static int security_cb(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other, void *ex)
{
    (void)ssl;
    (void)ctx;
    (void)op;
    (void)bits;
    (void)nid;
    (void)other;
    (void)ex;
    leave(IN_SECURITY);
    return 1;
}

TS_NOINLINE static void new_that_is_left(void *arg)
{
    (void)arg;
    SSL_CTX_free(ts_server_ctx(TS_TLS13));
}

TS_NOINLINE static void ctrl_that_is_left(void *ctx)
{
    SSL_CTX_add1_chain_cert(ctx, ts_ca()->x509);
}

TS_NOINLINE static void switch_that_is_left(void *ssl)
{
    SSL_set_SSL_CTX(ssl, third);
}

TS_NOINLINE static void context_that_is_left(void)
{
    SSL_CTX *srv = ts_server_ctx(TS_TLS13), *cli = ts_client_ctx(TS_TLS13);
    SSL *ssl = SSL_new(srv);
    ts_conn *c;

    where = IN_NEW;
    ts_ok(leaves(new_that_is_left, NULL), "left out of %s with %s", place_name[where], way_name[how]);
    SSL_CTX_set_security_callback(srv, security_cb);
    where = IN_SECURITY;
    ts_ok(leaves(ctrl_that_is_left, srv), "left out of %s with %s", place_name[where], way_name[how]);
    /* The second one lives by the connection alone, until that is switched on. */
    second = going = ts_server_ctx(TS_TLS13);
    third = ts_server_ctx(TS_TLS13);
    if (SSL_set_SSL_CTX(ssl, second) != second)
        ts_bail("cannot switch");
    SSL_CTX_free(second);
    where = IN_FREE;
    ts_ok(leaves(switch_that_is_left, ssl), "left out of %s with %s", place_name[where], way_name[how]);
    going = NULL;
    c = ts_connect(srv, cli, NULL);
    ts_is_str(ts_outcome(c), ts_full(TS_TLS13), "… a connection after it");
    ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
    SSL_CTX_free(cli);
    /* What is left of it libssl has not let go of: its SSL is not freed. */
}

int main(void)
{
    index_of_ctx = SSL_CTX_get_ex_new_index(0, NULL, on_new, NULL, on_free);
    if (index_of_ctx < 0)
        ts_bail("no index");
    for (const ts_proto *p = ts_tls_protos; *p != TS_PROTO_END; p++)
        for (how = BY_LONGJMP; how < N_WAYS; how++)
            for (where = IN_GEN; where < N_IN_HANDSHAKE; where++)
                if (how == BY_EXCEPTION && !ts_can_throw())
                    ts_skip("no C++ compiler when this was built", "%s out of %s", way_name[how],
                            place_name[where]);
                else
                    left(*p);
    for (how = BY_LONGJMP; how < N_WAYS; how++)
        if (how != BY_EXCEPTION || ts_can_throw())
            context_that_is_left();
    return ts_done();
}
