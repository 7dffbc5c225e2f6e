/*
 * early_data.c: whether early data is accepted, within one context: what the
 * application's callback says holds, wherever it was set, and it gets its own
 * argument. The library has one in front of it. C++ exceptions and longjmp() get
 * out of it.
 *
 * ts-run: TICKETSHIM_EARLY_DATA=own
 * ts-run: TICKETSHIM_EARLY_DATA=any
 */
#include <setjmp.h>
#include <string.h>

#include "ts.h"
#include "throw.h"

static const char data[] = "GET / HTTP/1.0";

typedef struct rule {
    const char *name;
    int answer;
    jmp_buf *leave;
    int throws;
} rule;

static char asked[128]; /* which rules' callbacks were called */

static int by_rule(SSL *ssl, void *arg)
{
    const rule *r = arg;

    if (!SSL_session_reused(ssl))
        ts_diag("asked about a connection that is not resumed");
    strncat(asked, r->name, sizeof(asked) - strlen(asked) - 1);
    if (r->leave != NULL)
        longjmp(*r->leave, 1);
    if (r->throws)
        ts_throw();
    return r->answer;
}

static int by_nobody(SSL *ssl, void *arg)
{
    (void)ssl;
    strncat(asked, arg == NULL ? "null" : "not null", sizeof(asked) - strlen(asked) - 1);
    return 7;
}

static SSL_CTX *server(void)
{
    SSL_CTX *ctx = ts_server_ctx(TS_TLS13);

    SSL_CTX_set_max_early_data(ctx, 1024);
    SSL_CTX_set_options(ctx, SSL_OP_NO_ANTI_REPLAY);
    return ctx;
}

static SSL_SESSION *ticket(SSL_CTX *srv, SSL_CTX *cli)
{
    SSL_SESSION *ss = ts_fresh_session(srv, cli);

    ts_expect_core(ts_full_tickets(TS_TLS13), 0);
    asked[0] = '\0';
    return ss;
}

/* Early data on a connection that is set up already. */
static void goes(ts_conn *c, int accepted, const char *want_asked, const char *what)
{
    size_t got = ts_conn_early(c, data, sizeof(data));

    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), ts_resumed(TS_TLS13), "%s: resumed", what);
    ts_is_int((long)got, accepted ? (long)sizeof(data) : 0, "%s: early data is %s", what,
              accepted ? "accepted" : "declined");
    ts_is_int(SSL_get_early_data_status(c->client.ssl), accepted
              ? SSL_EARLY_DATA_ACCEPTED : SSL_EARLY_DATA_REJECTED, "… so the client is told");
    ts_is_str(asked, want_asked, "… and asked was: %s", want_asked);
    ts_expect_core(c->tickets, 1);
    asked[0] = '\0';
    ts_conn_free(c);
}

static void who_is_asked(void)
{
    SSL_CTX *srv = server(), *cli = ts_client_ctx(TS_TLS13);
    SSL_SESSION *ss = ticket(srv, cli);
    rule yes = { .name = "yes", .answer = 1 }, no = { .name = "no" }, two = { .name = "two", .answer = 2 };
    ts_conn *c, *older;

    goes(ts_conn_new(srv, cli, ss), 1, "", "no callback");
    SSL_CTX_set_allow_early_data_cb(srv, by_rule, &yes);
    goes(ts_conn_new(srv, cli, ss), 1, "yes", "the context's says yes");
    older = ts_conn_new(srv, cli, ss);
    SSL_CTX_set_allow_early_data_cb(srv, by_rule, &no);
    goes(ts_conn_new(srv, cli, ss), 0, "no", "the context's says no");
    goes(older, 1, "yes", "a connection from before has the callback and argument of then");
    SSL_CTX_set_allow_early_data_cb(srv, by_rule, &two);
    goes(ts_conn_new(srv, cli, ss), 1, "two", "the context's says 2");
    SSL_CTX_set_allow_early_data_cb(srv, by_nobody, NULL);
    goes(ts_conn_new(srv, cli, ss), 1, "null", "without an argument");

    c = ts_conn_new(srv, cli, ss);
    SSL_set_allow_early_data_cb(c->server.ssl, by_rule, &no);
    goes(c, 0, "no", "the connection's own says no");
    c = ts_conn_new(srv, cli, ss);
    SSL_set_allow_early_data_cb(c->server.ssl, by_rule, &no);
    SSL_set_allow_early_data_cb(c->server.ssl, by_rule, &yes);
    SSL_CTX_set_allow_early_data_cb(srv, by_rule, &no);
    goes(c, 1, "yes", "the connection's last one holds, whatever the context has");
    c = ts_conn_new(srv, cli, ss);
    SSL_set_allow_early_data_cb(c->server.ssl, NULL, NULL);
    goes(c, 1, "", "taken back on the connection");
    older = ts_conn_new(srv, cli, ss);
    SSL_CTX_set_allow_early_data_cb(srv, NULL, &no);
    goes(ts_conn_new(srv, cli, ss), 1, "", "taken back in the context");
    goes(older, 0, "no", "a connection from before that");

    /* As a program does that has an argument for each connection. */
    for (int i = 0; i < 100; i++) {
        SSL_CTX_set_allow_early_data_cb(srv, by_rule, i % 2 == 0 ? &yes : &two);
        SSL_CTX_set_allow_early_data_cb(srv, by_rule, asked + i);
    }
    SSL_CTX_set_allow_early_data_cb(srv, by_rule, &yes);
    goes(ts_conn_new(srv, cli, ss), 1, "yes", "after many");

    /* Without early data nobody is asked. */
    c = ts_connect(srv, cli, ss);
    ts_is_str(ts_outcome(c), ts_resumed(TS_TLS13), "without early data");
    ts_is_str(asked, "", "… nobody is asked");
    ts_expect_core(c->tickets, 1);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* What libssl had allocated is lost, with and without the library (valgrind.supp). */
TS_NOINLINE static void early_that_is_left(void *arg)
{
    ts_conn_early(arg, data, sizeof(data));
}

static void left(int by_exception)
{
    SSL_CTX *srv = server(), *cli = ts_client_ctx(TS_TLS13);
    SSL_SESSION *ss = ticket(srv, cli);
    jmp_buf back;
    rule leaves = { .name = "leaves", .leave = by_exception ? NULL : &back, .throws = by_exception };
    ts_conn *volatile c;

    SSL_CTX_set_allow_early_data_cb(srv, by_rule, &leaves);
    c = ts_conn_new(srv, cli, ss);
    if (by_exception)
        ts_ok(ts_catch(early_that_is_left, c), "an exception gets out of the callback");
    else if (setjmp(back) == 0)
        early_that_is_left(c);
    else
        ts_ok(1, "longjmp() gets out of the callback");
    ts_expect_core(0, 1);
    ts_conn_free(c);
    asked[0] = '\0';
    SSL_CTX_set_allow_early_data_cb(srv, NULL, NULL);
    goes(ts_conn_new(srv, cli, ss), 1, "", "the next connection");
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* With ticket keys of the application, and with sessions that libssl keeps. */
static void not_ours(void)
{
    SSL_CTX *srv = server(), *cli = ts_client_ctx(TS_TLS13);
    unsigned char keys[80];
    SSL_SESSION *ss;
    ts_conn *c;

    memset(keys, 7, sizeof(keys));
    if (SSL_CTX_set_tlsext_ticket_keys(srv, keys, sizeof(keys)) != 1)
        ts_bail("cannot set ticket keys");
    ss = ts_fresh_session(srv, cli);
    for (int i = 0; i < 2; i++) {
        c = ts_conn_new(srv, cli, ss);
        ts_is_int((long)ts_conn_early(c, data, sizeof(data)), (long)sizeof(data), "keys of the application");
        ts_conn_free(c);
    }
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);

    srv = server();
    SSL_CTX_set_options(srv, SSL_OP_NO_TICKET);
    c = ts_connect(srv, cli, NULL);
    ss = ts_session(c);
    ts_conn_free(c);
    for (int i = 0; i < 2; i++) {
        c = ts_conn_new(srv, cli, ss);
        ts_is_int((long)ts_conn_early(c, data, sizeof(data)), (long)sizeof(data), "a session that is kept");
        ts_conn_free(c);
    }
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

int main(void)
{
    who_is_asked();
    left(0);
    if (ts_can_throw())
        left(1);
    else
        ts_skip("no C++ compiler", "an exception gets out of the callback");
    not_ours();
    return ts_done();
}
