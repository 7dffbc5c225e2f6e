/*
 * async_jobs.c: handshakes inside of OpenSSL's async jobs, which have a stack of
 * 32 KiB from the heap with nothing below it that would end the process.
 */
#include <string.h>

#include <openssl/async.h>

#include "ts.h"

struct job {
    SSL_CTX *srv, *cli;
    SSL_SESSION *offer;
    ts_conn *made;
};

static int in_job(void *arg)
{
    struct job *job = *(struct job **)arg;

    job->made = ts_connect(job->srv, job->cli, job->offer);
    return 7;
}

/* Client and server in one job: as a program with a job for each connection. */
static ts_conn *connect_in_job(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer)
{
    struct job work = { srv, cli, offer, NULL }, *arg = &work;
    ASYNC_WAIT_CTX *wait = ASYNC_WAIT_CTX_new();
    ASYNC_JOB *job = NULL;
    int ret = 0;

    if (wait == NULL || ASYNC_start_job(&job, wait, &ret, in_job, &arg, sizeof(arg)) != ASYNC_FINISH
        || ret != 7)
        ts_bail("the job did not finish");
    ASYNC_WAIT_CTX_free(wait);
    return work.made;
}

static void both(ts_proto proto, int by_mode)
{
    const char *how = by_mode ? "SSL_MODE_ASYNC" : "ASYNC_start_job";
    ts_conn *(*connect)(SSL_CTX *, SSL_CTX *, SSL_SESSION *) = by_mode ? ts_connect : connect_in_job;
    const char *name = ts_proto_name(proto);
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss, *bad;
    ts_conn *c;

    if (by_mode) {
        SSL_CTX_set_mode(srv, SSL_MODE_ASYNC);
        SSL_CTX_set_mode(cli, SSL_MODE_ASYNC);
    }
    for (int i = 0; i < 3; i++) {
        c = connect(srv, cli, NULL);
        ts_is_str(ts_outcome(c), ts_full(proto), "%s, %s: full", name, how);
        ss = ts_session(c);
        ts_expect_core(c->tickets, 1);
        ts_conn_free(c);
        c = connect(srv, cli, ss);
        ts_is_str(ts_outcome(c), ts_resumed(proto), "%s, %s: … and resumed", name, how);
        ts_expect_core(c->tickets, 0);
        ts_conn_free(c);
        bad = ts_with_flip(ss, 60, 1);
        c = connect(srv, cli, bad);
        ts_is_str(ts_outcome(c), ts_full(proto), "%s, %s: … and an altered ticket is none", name, how);
        ts_expect_core(c->tickets, 0);
        ts_expect_refused(0, 1, 0);
        ts_conn_free(c);
        SSL_SESSION_free(bad);
        SSL_SESSION_free(ss);
    }
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

int main(void)
{
    if (!ASYNC_is_capable())
        ts_skip("this OpenSSL has no async jobs", "handshakes in jobs");
    for (const ts_proto *proto = ts_tls_protos; ASYNC_is_capable() && *proto != TS_PROTO_END; proto++)
        for (int by_mode = 0; by_mode < 2; by_mode++)
            both(*proto, by_mode);
    return ts_done();
}
