/*
 * threads.c: one server SSL_CTX for many threads. Each thread is a client of
 * its own; the server's side runs in it too. Every handshake succeeds, and
 * under the shim the counters are exact: none was lost between threads.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ts.h"

#define THREADS 8
#define ROUNDS  40            /* of a full handshake and a resumption each */

typedef struct job {
    ts_proto proto;
    SSL_CTX *srv;             /* everybody's */
    int rounds;
    void (*each_round)(struct job *job, int round);
    ts_own_keys *own;         /* when the server brings its own keys */
    /* what came of it */
    long sealed, opened;      /* tickets that were made, that resumed */
    int bad;                  /* handshakes that did not do as they should */
    int foreign;              /* tickets that do not open with `own` by hand */
} job;

static void expect(job *j, const ts_conn *c, const char *outcome)
{
    j->sealed += c->tickets;
    j->opened += c->server.resumed;
    if (strcmp(ts_outcome(c), outcome) == 0 && c->server.err == 0
        && c->client.err == 0)
        return;
    j->bad++;
    ts_diag("%s: %s instead of %s, errors %lx %lx", ts_proto_name(j->proto),
            ts_outcome(c), outcome, c->server.err, c->client.err);
}

static void *handshakes(void *arg)
{
    job *j = arg;
    SSL_CTX *cli = ts_client_ctx(j->proto);

    for (int i = 0; i < j->rounds; i++) {
        ts_conn *c;
        SSL_SESSION *ss;

        if (j->each_round != NULL)
            j->each_round(j, i);
        c = ts_connect(j->srv, cli, NULL);
        expect(j, c, ts_full(j->proto));
        ss = ts_session(c);
        ts_conn_free(c);
        if (ss == NULL)
            continue;
        j->foreign += j->own != NULL && !ts_opens_by_hand(&j->own->keys, ss);
        c = ts_connect(j->srv, cli, ss);
        /* An evp callback that answers 1 does not renew, in no version. */
        expect(j, c, j->own != NULL ? "resumed, 0 tickets"
               : ts_resumed(j->proto));
        ts_conn_free(c);
        SSL_SESSION_free(ss);
    }
    SSL_CTX_free(cli);
    return NULL;
}

/* Runs `model` in all threads at once; returns what came of it, summed up. */
static job in_threads(const job *model)
{
    pthread_t thread[THREADS];
    job jobs[THREADS], sum = *model;

    for (int i = 0; i < THREADS; i++) {
        jobs[i] = *model;
        if (pthread_create(&thread[i], NULL, handshakes, &jobs[i]) != 0)
            ts_bail("cannot start a thread");
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        sum.sealed += jobs[i].sealed;
        sum.opened += jobs[i].opened;
        sum.bad += jobs[i].bad;
        sum.foreign += jobs[i].foreign;
    }
    return sum;
}

static void sums_are(const job *sum, const char *what)
{
    long full = (long)THREADS * sum->rounds;
    int per_round = ts_full_tickets(sum->proto)
        + (sum->proto == TS_TLS13 && sum->own == NULL);
    const char *name = ts_proto_name(sum->proto);

    ts_is_int(sum->bad, 0, "%s: %s: all handshakes of all threads", name, what);
    ts_is_int(sum->opened, full, "%s: … every second one resumed", name);
    ts_is_int(sum->sealed, full * per_round, "%s: … and every ticket came",
              name);
}

/* ---- the core's tickets ------------------------------------------------------------ */

static void shared(ts_proto proto)
{
    job model = { .proto = proto, .rounds = ts_scale(ROUNDS) }, sum;

    model.srv = ts_server_ctx(proto);
    /*
     * The first ticket of a process makes its first keys, which threads wait for
     * for 50 ms at most: then there is a connection without a ticket. Memcheck
     * takes longer, so there the keys are made before.
     */
    if (ts_scale(ROUNDS) < ROUNDS) {
        SSL_CTX *cli = ts_client_ctx(proto);

        SSL_SESSION_free(ts_fresh_session(model.srv, cli));
        ts_expect_core(ts_full_tickets(proto), 0);
        SSL_CTX_free(cli);
    }
    sum = in_threads(&model);
    sums_are(&sum, "a shared SSL_CTX");
    ts_expect_core(sum.sealed, sum.opened);
    SSL_CTX_free(model.srv);
}

/* Contexts come and go in all threads while handshakes run on another. */
static void make_and_free(job *j, int round)
{
    (void)round;
    SSL_CTX_free(ts_server_ctx(j->proto));
}

static void coming_and_going(ts_proto proto)
{
    job model = { .proto = proto, .rounds = ts_scale(ROUNDS / 4),
                  .each_round = make_and_free }, sum;

    model.srv = ts_server_ctx(proto);
    sum = in_threads(&model);
    sums_are(&sum, "contexts made and freed meanwhile");
    ts_expect_core(sum.sealed, sum.opened);
    ts_expect_contexts(1, 0, "only the shared one is left");
    SSL_CTX_free(model.srv);
    ts_expect_contexts(0, 0, "and that is freed");
}

/* ---- the application's callback, set by every thread -------------------------------- */

/* As Traffic Server and ProFTPD do: before each connection, always the same. */
static void set_callback(job *j, int round)
{
    (void)round;
    ts_key_cb_set(j->srv, TS_DOOR_EVP_CB, 1);
}

static void callback_of_all(ts_proto proto)
{
    ts_own_keys own = { .open_return = 1 };
    job model = { .proto = proto, .rounds = ts_scale(ROUNDS / 2),
                  .each_round = set_callback, .own = &own }, sum;
    const char *name = ts_proto_name(proto);

    model.srv = ts_server_ctx(proto);
    ts_raw_keys_make(&own.keys, 7);
    ts_use_own_keys(model.srv, TS_DOOR_EVP_CB, &own);
    sum = in_threads(&model);
    sums_are(&sum, "every thread sets the same key callback");
    ts_is_int(sum.foreign, 0, "%s: … every ticket opens by hand with its keys",
              name);
    ts_is_int(own.sealed, sum.sealed, "%s: … it made every ticket", name);
    ts_is_int(own.opened, sum.opened, "%s: … and opened every one", name);
    ts_expect_contexts(0, 1, "its own callback");
    ts_is_int(ts_key_cb_set(model.srv, TS_DOOR_EVP_CB, 0), 1,
              "%s: … one NULL takes it out", name);
    ts_expect_contexts(1, 0, "and the core is back");
    SSL_CTX_free(model.srv);
}

int main(void)
{
    ts_before_threads();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        shared(*p);
        coming_and_going(*p);
        if (ts_have_door(TS_DOOR_EVP_CB))
            callback_of_all(*p);
        else
            ts_note("n/a: no evp callback in this OpenSSL");
    }
    return ts_done();
}
