/*
 * exits.c: programs that end in the middle of things. Contexts are freed by
 * functions of atexit() that were registered before OpenSSL's own and after it, and
 * by a destructor; exit() is called in a callback, and in a signal handler that
 * interrupts a handshake. Each is a process of its own, which has sealed a ticket.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ts.h"

/* ---- in the child ------------------------------------------------------------- */

static SSL_CTX *srv, *cli;
static ts_conn *conn;
static const char *role = "";

static int is(const char *name)
{
    return strcmp(role, name) == 0;
}

static void free_all(const char *when)
{
    SSL_CTX_set_tlsext_servername_callback(srv, NULL);
    SSL_CTX_set_verify(srv, SSL_VERIFY_NONE, NULL);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_child_output(when, strlen(when));
}

static void at_exit_before(void)
{
    if (is("atexit-before"))
        free_all("freed by atexit(), after OpenSSL's own");
}

static void at_exit_after(void)
{
    if (is("atexit-after"))
        free_all("freed by atexit(), before OpenSSL's own");
    if (is("atexit-connection")) {
        ts_conn_free(conn);
        free_all("freed by atexit(), with a connection");
    }
}

__attribute__((destructor)) static void destroy(void)
{
    if (is("destructor"))
        free_all("freed by a destructor");
}

static void on_signal(int number)
{
    (void)number;
    ts_child_output("exit in a signal handler", 24);
    exit(3);
}

static int leave(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    if (is("exit-in-callback")) {
        ts_child_output("exit in a callback", 18);
        exit(3);
    }
    raise(SIGTERM);
    return SSL_TLSEXT_ERR_OK;
}

static int leave_gen(SSL *ssl, void *arg)
{
    return leave(ssl, NULL, arg) == SSL_TLSEXT_ERR_OK;
}

/* Ends with 3: the shim is there and has sealed, or is not expected. */
static int child(void)
{
    struct ticketshim_stats stats;

    atexit(at_exit_before);
    srv = ts_server_ctx(TS_TLS13);
    cli = ts_client_ctx(TS_TLS13);
    atexit(at_exit_after);
    conn = ts_connect(srv, cli, NULL);
    ts_stats(&stats);
    if (!conn->established || (ts_shim_expected() && stats.sealed != 2))
        return 4;
    if (is("signal-in-servername") || is("exit-in-callback"))
        SSL_CTX_set_tlsext_servername_callback(srv, leave);
    if (is("signal-in-gen"))
        SSL_CTX_set_session_ticket_cb(srv, leave_gen, NULL, NULL);
    if (is("signal-in-servername") || is("signal-in-gen") || is("exit-in-callback")) {
        signal(SIGTERM, on_signal);
        ts_connect(srv, cli, ts_session(conn));
        return 5;
    }
    if (!is("atexit-connection"))
        ts_conn_free(conn);
    return 3;
}

/* ---- in the parent -------------------------------------------------------------- */

static const char *const roles[] = { "atexit-after", "atexit-connection", "atexit-before", "destructor",
    "signal-in-servername", "signal-in-gen", "exit-in-callback" };

int main(int argc, char **argv)
{
    if (argc > 1) {
        role = argv[1];
        return child();
    }
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        ts_child c = { .role = roles[i] };

        ts_child_run(&c);
        ts_is_int(c.exit_code, 3, "%s: ends as it wants", roles[i]);
        ts_ok(c.out_len > 0, "… %.*s", (int)c.out_len, (const char *)c.out);
        ts_child_free(&c);
    }
    ts_expect_core_unused();
    return ts_done();
}
