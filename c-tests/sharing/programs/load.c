/*
 * load.c: four threads that resume without pause while keys change each second.
 *
 *   TICKETSHIM_ROTATE=1s TICKETSHIM_ACCEPT=5s load SECONDS
 *
 * Each thread offers the newest ticket that it has, and in between older ones
 * that it kept, one of each second. No handshake may fail. A ticket inside the
 * window must resume, one beyond it must not. Latencies are reported only: how
 * long a handshake takes is for the machine to say.
 */
#define _GNU_SOURCE /* clock_gettime() */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ts.h"

#define THREADS 4
#define ACCEPT  5             /* as TICKETSHIM_ACCEPT; epochs are of one second */
#define KEPT    (ACCEPT + 4)
#define NAMES   400

typedef struct ticket {
    SSL_SESSION *session;
    time_t before, after;     /* it was sealed between these */
} ticket;

typedef struct job {
    ts_proto proto;
    SSL_CTX *srv;
    time_t end;
    ticket newest, kept[KEPT];
    unsigned char names[NAMES][16];
    int n_names;
    long sealed, resumed, by_kept, expired;
    int broken, refused, outlived;
    double longest;
} job;

static double monotonic(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void note_name(job *j, SSL_SESSION *session)
{
    size_t len;
    const unsigned char *name = ts_ticket(session, &len);

    for (int i = 0; i < j->n_names; i++)
        if (memcmp(j->names[i], name, 16) == 0)
            return;
    if (j->n_names < NAMES)
        memcpy(j->names[j->n_names++], name, 16);
}

static void keep(ticket *where, const ticket *t)
{
    SSL_SESSION_free(where->session);
    SSL_SESSION_up_ref(t->session);
    *where = *t;
}

static void offer(job *j, SSL_CTX *cli, const ticket *t)
{
    ticket new = { NULL, time(NULL), 0 };
    double start = monotonic(), took;
    ts_conn *c = ts_connect(j->srv, cli, t->session);
    int must, must_not;

    took = monotonic() - start;
    new.after = time(NULL);
    if (took > j->longest)
        j->longest = took;
    /* Sealed in second s, it opens until the end of second s + ACCEPT. */
    must = t->session != NULL && new.after <= t->before + ACCEPT;
    must_not = t->session == NULL || new.before > t->after + ACCEPT;
    j->sealed += c->tickets;
    j->resumed += c->server.resumed;
    j->expired += t->session != NULL && !c->server.resumed;
    j->broken += !c->established || c->server.err != 0 || c->client.err != 0;
    j->refused += must && !c->server.resumed;
    j->outlived += must_not && c->server.resumed;
    if (c->tickets > 0) {
        new.session = ts_session(c);
        note_name(j, new.session);
        keep(&j->kept[new.before % KEPT], &new);
        SSL_SESSION_free(j->newest.session);
        j->newest = new;
    }
    ts_conn_free(c);
}

static void *resume(void *arg)
{
    job *j = arg;
    SSL_CTX *cli = ts_client_ctx(j->proto);

    for (unsigned int i = 0; time(NULL) < j->end; i++) {
        const ticket newest = j->newest;
        ticket *old = &j->kept[i / 4 % KEPT];

        if (i % 4 != 0 || old->session == NULL) {
            offer(j, cli, &newest);
        } else {
            ticket copy = { NULL, 0, 0 };

            keep(&copy, old);
            j->by_kept++;
            offer(j, cli, &copy);
            SSL_SESSION_free(copy.session);
        }
    }
    for (int i = 0; i < KEPT; i++)
        SSL_SESSION_free(j->kept[i].session);
    SSL_SESSION_free(j->newest.session);
    SSL_CTX_free(cli);
    return NULL;
}

static void add(job *sum, const job *j)
{
    sum->sealed += j->sealed;
    sum->resumed += j->resumed;
    sum->by_kept += j->by_kept;
    sum->expired += j->expired;
    sum->broken += j->broken;
    sum->refused += j->refused;
    sum->outlived += j->outlived;
    if (j->longest > sum->longest)
        sum->longest = j->longest;
    if (j->n_names > sum->n_names)
        sum->n_names = j->n_names;
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 12;
    time_t end = time(NULL) + seconds;
    SSL_CTX *srv[2];
    pthread_t thread[THREADS];
    static job jobs[THREADS], sum;
    struct ticketshim_stats s;

    if (seconds < 2 * ACCEPT)
        ts_bail("%d s at least: tickets shall outlive their window", 2 * ACCEPT);
    ts_before_threads();
    for (int i = 0; i < 2; i++)
        srv[i] = ts_server_ctx(ts_tls_protos[i]);
    for (int i = 0; i < THREADS; i++) {
        jobs[i].proto = ts_tls_protos[i % 2];
        jobs[i].srv = srv[i % 2];
        jobs[i].end = end;
        if (pthread_create(&thread[i], NULL, resume, &jobs[i]) != 0)
            ts_bail("cannot start a thread");
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        ts_ok(jobs[i].resumed > seconds, "%s: resumed all the time", ts_proto_name(jobs[i].proto));
        add(&sum, &jobs[i]);
    }
    ts_is_int(sum.broken, 0, "no handshake failed");
    ts_is_int(sum.refused, 0, "every ticket inside the window resumed");
    ts_is_int(sum.outlived, 0, "no ticket beyond the window did");
    ts_ok(sum.by_kept >= seconds, "older tickets were among them");
    ts_ok(sum.expired > 0, "… and some beyond the window");
    ts_ok(sum.n_names >= seconds * 3 / 4, "keys changed all the time");
    ts_stats(&s);
    ts_is_int((long)s.refused_expired, sum.expired, "what was refused had expired");
    ts_is_int((long)s.refused_unknown_key, 0, "no key was unknown");
    ts_note("%ld resumed, %ld of them with older tickets, %ld had expired; %d keys in %d s; the longest took %.1f ms",
            sum.resumed, sum.by_kept - sum.expired, sum.expired, sum.n_names, seconds, sum.longest * 1000);
    ts_expect_core(sum.sealed, sum.resumed);
    SSL_CTX_free(srv[0]);
    SSL_CTX_free(srv[1]);
    return ts_done();
}
