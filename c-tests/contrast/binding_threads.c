/*
 * binding_threads.c: many threads on one server context, each with a name of its
 * own, or none. The hashes that a context keeps are shared between them; no
 * ticket gets to another name by that.
 */
#include <pthread.h>

#include "ts.h"

enum { THREADS = 8, ROUNDS = 25 };

typedef struct worker {
    SSL_CTX *srv;
    ts_proto proto;
    int number;
    long tickets, own, other;     /* resumed under its name, and another's */
    int broken;                   /* handshakes that failed */
} worker;

/* The last one asks for no server in particular. */
static const char *name_of(int number, char *buf, size_t size)
{
    number %= THREADS;
    if (number == THREADS - 1)
        return NULL;
    BIO_snprintf(buf, size, "host-%d.example", number);
    return buf;
}

static ts_conn *connect_as(worker *w, SSL_CTX *cli, SSL_SESSION *ss, int number)
{
    char buf[32];
    const char *name = name_of(number, buf, sizeof(buf));
    ts_conn *c = name != NULL ? ts_connect_to(w->srv, cli, ss, name)
        : ts_connect(w->srv, cli, ss);

    w->broken += !c->established;
    w->tickets += c->tickets;
    return c;
}

static void *work(void *arg)
{
    worker *w = arg;
    SSL_CTX *cli = ts_client_ctx(w->proto);

    for (int i = 0; i < ROUNDS; i++) {
        ts_conn *c = connect_as(w, cli, NULL, w->number);
        SSL_SESSION *ss = ts_session(c);

        ts_conn_free(c);
        c = connect_as(w, cli, ss, w->number);
        w->own += c->server.resumed;
        ts_conn_free(c);
        c = connect_as(w, cli, ss, w->number + 1 + i % (THREADS - 1));
        w->other += c->server.resumed;
        ts_conn_free(c);
        SSL_SESSION_free(ss);
    }
    SSL_CTX_free(cli);
    return NULL;
}

static void together(ts_proto p)
{
    struct ticketshim_stats old, now;
    worker w[THREADS];
    pthread_t id[THREADS];
    long tickets = 0, own = 0, other = 0;
    int broken = 0;
    SSL_CTX *srv = ts_server_ctx(p);

    ts_stats(&old);
    for (int i = 0; i < THREADS; i++) {
        w[i] = (worker) { .srv = srv, .proto = p, .number = i };
        if (pthread_create(&id[i], NULL, work, &w[i]) != 0)
            ts_bail("cannot start a thread");
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(id[i], NULL);
        tickets += w[i].tickets;
        own += w[i].own;
        other += w[i].other;
        broken += w[i].broken;
    }
    ts_stats(&now);
    ts_is_int(broken, 0, "%s: every handshake completes", ts_proto_name(p));
    ts_is_int(own, THREADS * ROUNDS, "… every ticket resumes under its name");
    ts_is_int(other, ts_shim_expected() ? 0 : THREADS * ROUNDS,
              "… under another thread's name: %s",
              ts_shim_expected() ? "none" : "all");
    if (ts_shim_expected())
        ts_is_int((long)(now.refused_binding - old.refused_binding),
                  THREADS * ROUNDS, "… each refusal counted");
    ts_expect_core(tickets, own + other);
    SSL_CTX_free(srv);
}

int main(void)
{
    ts_ca(); /* made once, before there are threads */
    ts_server_cert();
    for (const ts_proto *p = ts_tls_protos; *p != TS_PROTO_END; p++)
        together(*p);
    return ts_done();
}
