/*
 * early_data.c: where early data is accepted. In stock only a context that sealed
 * the ticket resumes, and it accepts the same early data again and again. With the
 * library a ticket resumes elsewhere too: TICKETSHIM_EARLY_DATA says what becomes
 * of its early data there, and of early data that comes again.
 *
 * First flights are recorded and replayed as an attacker would who has no keys.
 *
 * ts-run:
 * ts-run: TICKETSHIM_EARLY_DATA=own
 * ts-run: TICKETSHIM_EARLY_DATA=any
 * ts-run: TICKETSHIM_EARLY_DATA=never
 * ts-run: TICKETSHIM_EARLY_DATA=once
 * ts-run: TICKETSHIM_EARLY_DATA=once TICKETSHIM_BIND=none
 */
#define _GNU_SOURCE /* fork, mkdtemp */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

#include "ts.h"

#define NAME "a.example" /* rather than the certificate, which differs in each process */

static const char data[] = "POST /pay HTTP/1.0";

static int is(const char *value)
{
    const char *setting = getenv("TICKETSHIM_EARLY_DATA");

    return ts_shim_expected()
        && strcmp(setting == NULL || *setting == '\0' ? "own" : setting, value) == 0;
}

static long declined(void)
{
    struct ticketshim_stats s;

    ts_stats(&s);
    return (long)s.early_data_declined;
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
    ts_conn *c = ts_connect_to(srv, cli, NULL, NAME);
    SSL_SESSION *ss = ts_session(c);

    if (ss == NULL)
        ts_bail("no ticket to begin with: %s", ts_outcome(c));
    ts_conn_free(c);
    ts_expect_core_min(ts_full_tickets(TS_TLS13), 0);
    return ss;
}

/* ---- first flights, recorded --------------------------------------------------- */

typedef struct flight {
    unsigned char bytes[4096];
    size_t len;
} flight;

/* What a client sends that offers `ss` with early data. */
static flight record(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *ss)
{
    ts_conn *c = ts_conn_new(srv, cli, ss);
    BIO *out = BIO_new(BIO_s_mem());
    flight f;
    size_t n;
    int len;

    if (out == NULL || BIO_up_ref(out) != 1)
        ts_bail("no memory");
    SSL_set0_wbio(c->client.ssl, out);
    if (SSL_set_tlsext_host_name(c->client.ssl, NAME) != 1)
        ts_bail("cannot set the server's name");
    if (SSL_write_early_data(c->client.ssl, data, sizeof(data), &n) != 1)
        ts_bail("cannot send early data");
    len = BIO_read(out, f.bytes, sizeof(f.bytes));
    if (len <= 0 || len == (int)sizeof(f.bytes))
        ts_bail("a first flight of %d bytes", len);
    f.len = (size_t)len;
    BIO_free(out);
    ts_conn_free(c);
    return f;
}

/* A server that gets it: 1 if it takes the early data. */
static int takes(SSL_CTX *srv, const flight *f, int *resumed)
{
    SSL *ssl = SSL_new(srv);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    char buf[64];
    size_t got = 0, n;

    if (ssl == NULL || in == NULL || out == NULL || BIO_write(in, f->bytes, (int)f->len) != (int)f->len)
        ts_bail("no memory");
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
    for (int i = 0; i < 3; i++) {
        n = 0;
        if (SSL_read_early_data(ssl, buf, sizeof(buf), &n) == SSL_READ_EARLY_DATA_SUCCESS)
            got += n;
    }
    if (resumed != NULL)
        *resumed = SSL_session_reused(ssl);
    SSL_free(ssl);
    ERR_clear_error();
    return got == sizeof(data);
}

/* So many of ten tries take it, in this process. */
static int of_ten(SSL_CTX *srv, const flight *f)
{
    int taken = 0;

    for (int i = 0; i < 10; i++)
        taken += takes(srv, f, NULL);
    return taken;
}

/* ---- within one context -------------------------------------------------------- */

static void replayed(void)
{
    SSL_CTX *srv = server(), *cli = ts_client_ctx(TS_TLS13);
    SSL_SESSION *ss = ticket(srv, cli), *other = ticket(srv, cli);
    const flight f = record(srv, cli, ss), g = record(srv, cli, ss), h = record(srv, cli, other);
    const int first = !is("never"), again = is("never") || is("once") ? 0 : 10;
    long before = declined();
    int resumed;

    ts_is_int(takes(srv, &f, &resumed), first, "the first time it is %s", first ? "accepted" : "declined");
    ts_ok(resumed, "… and the session resumes");
    ts_is_int(of_ten(srv, &f), again, "replayed ten times, it is accepted %d times", again);
    ts_is_int(of_ten(srv, &g), again, "other early data with the same ticket: %d times", again);
    ts_is_int(takes(srv, &h, &resumed), first, "another ticket: %s", first ? "accepted" : "declined");
    if (ts_shim_expected()) {
        ts_expect_core_min(0, 22);
        ts_is_int(declined() - before, is("never") ? 22 : is("once") ? 20 : 0, "and that is counted");
    }
    SSL_SESSION_free(ss);
    SSL_SESSION_free(other);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* Four workers of one context, at once: how many of forty take it. */
static int of_workers(SSL_CTX *srv, const flight *f)
{
    int taken = 0, pipes[2];
    char byte;

    if (pipe(pipes) != 0)
        ts_bail("pipe");
    for (int i = 0; i < 4; i++) {
        fflush(NULL);
        switch (fork()) {
        case -1:
            ts_bail("fork");
        case 0:
            for (int n = of_ten(srv, f); n > 0; n--)
                if (write(pipes[1], "x", 1) != 1)
                    _exit(1);
            _exit(0);
        }
    }
    close(pipes[1]);
    while (read(pipes[0], &byte, 1) == 1)
        taken++;
    close(pipes[0]);
    while (wait(NULL) > 0)
        ;
    return taken;
}

static void workers(void)
{
    SSL_CTX *srv = server(), *cli = ts_client_ctx(TS_TLS13);
    SSL_SESSION *ss = ticket(srv, cli), *other = ticket(srv, cli);
    const flight f = record(srv, cli, ss), g = record(srv, cli, other);
    const int all = is("never") || is("once") ? 0 : 40;
    int taken;

    ts_is_int(takes(srv, &f, NULL), !is("never"), "the master %s it", is("never") ? "declines" : "accepts");
    ts_is_int(of_workers(srv, &f), all, "four workers that get it ten times each: %d times", all);
    taken = of_workers(srv, &g);
    if (is("once"))
        ts_ok(taken <= 1, "what only they get is accepted once at most");
    else
        ts_is_int(taken, all, "what only they get: %d times", all);
    ts_is_int(of_ten(srv, &g), is("never") || is("once") ? 0 : 10, "… and the master knows that");
    ts_expect_core_min(0, 1);
    SSL_SESSION_free(ss);
    SSL_SESSION_free(other);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* The application's callback has its say first: what it declines has not been accepted. */
static int by_arg(SSL *ssl, void *arg)
{
    (void)ssl;
    return *(int *)arg;
}

static void with_callback(void)
{
    SSL_CTX *srv = server(), *cli = ts_client_ctx(TS_TLS13);
    SSL_SESSION *ss = ticket(srv, cli);
    const flight f = record(srv, cli, ss);
    int answer = 0;

    SSL_CTX_set_allow_early_data_cb(srv, by_arg, &answer);
    ts_is_int(of_ten(srv, &f), 0, "the application declines");
    answer = 1;
    ts_is_int(takes(srv, &f, NULL), !is("never"), "the application accepts");
    ts_is_int(takes(srv, &f, NULL), !is("never") && !is("once"), "… again");
    ts_expect_core_min(0, 12);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/* ---- elsewhere ----------------------------------------------------------------- */

static void elsewhere(void)
{
    SSL_CTX *srv = server(), *twin = server(), *cli = ts_client_ctx(TS_TLS13);
    SSL_SESSION *ss = ticket(srv, cli), *next;
    const flight f = record(srv, cli, ss);
    long before = declined();
    int resumed, answer = 1;
    ts_conn *c;

    ts_is_int(takes(twin, &f, &resumed), is("any"), "at a context configured alike it is %s",
              is("any") ? "accepted" : "declined");
    ts_is_int(resumed, ts_shim_expected(), "… where the session %s", resumed ? "resumes" : "does not resume");
    SSL_CTX_set_allow_early_data_cb(twin, by_arg, &answer);
    ts_is_int(takes(twin, &f, NULL), is("any"), "a callback that says yes changes nothing");
    SSL_CTX_set_allow_early_data_cb(twin, NULL, NULL);
    ts_is_int(takes(twin, &f, NULL), is("any"), "and nor does taking it back");
    if (ts_shim_expected())
        ts_is_int(declined() - before, is("any") ? 0 : 3, "and that is counted");

    /* The honest client sends it again, and has a ticket of this context's then. */
    c = ts_conn_new(twin, cli, ss);
    if (SSL_set_tlsext_host_name(c->client.ssl, NAME) != 1)
        ts_bail("cannot set the server's name");
    ts_is_int(ts_conn_early(c, data, sizeof(data)) > 0, is("any"), "an honest client's");
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), ts_shim_expected() ? ts_resumed(TS_TLS13) : ts_full(TS_TLS13), "… and it gets in");
    next = ts_session(c);
    ts_conn_free(c);
    c = ts_conn_new(twin, cli, next);
    if (SSL_set_tlsext_host_name(c->client.ssl, NAME) != 1)
        ts_bail("cannot set the server's name");
    ts_is_int(ts_conn_early(c, data, sizeof(data)) > 0, !is("never"), "with the ticket that it got there");
    ts_conn_free(c);
    ts_expect_core_min(1, 4);
    SSL_SESSION_free(next);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(twin);
    SSL_CTX_free(cli);
}

/* In another process, by a state file: another host, or the same after a restart. */
static void at_another_process(void)
{
    char dir[] = "/tmp/ts-early.XXXXXX", state[64];
    const char *env[] = { state, NULL };
    ts_child seals = { .role = "seals", .env = env }, opens = { .role = "opens", .env = env };

    if (mkdtemp(dir) == NULL)
        ts_bail("mkdtemp");
    snprintf(state, sizeof(state), "TICKETSHIM_STATE=%s/state", dir);
    ts_child_run(&seals);
    ts_is_int(seals.exit_code, 0, "a process that seals");
    opens.in = seals.out;
    opens.in_len = seals.out_len;
    ts_child_run(&opens);
    ts_is_int(opens.exit_code, ts_shim_expected() ? 10 + is("any") : 0, "another: the session %s, early data is %s",
              ts_shim_expected() ? "resumes" : "does not resume", is("any") ? "accepted" : "declined");
    ts_child_free(&seals);
    ts_child_free(&opens);
    unlink(strchr(state, '/'));
    rmdir(dir);
}

static int child(const char *role)
{
    SSL_CTX *srv = server(), *cli = ts_client_ctx(TS_TLS13);
    flight f;
    int taken, resumed;

    if (strcmp(role, "seals") == 0) {
        f = record(srv, cli, ticket(srv, cli));
        ts_child_output(f.bytes, f.len);
        _exit(0);
    }
    f.len = ts_child_input(f.bytes, sizeof(f.bytes));
    taken = takes(srv, &f, &resumed);
    _exit(10 * resumed + taken);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return child(argv[1]);
    replayed();
    workers();
    with_callback();
    elsewhere();
    at_another_process();
    return ts_done();
}
