/*
 * lifecycle.c: contexts that go before their connections and sessions, ten
 * thousand contexts that come and go, and processes that fork.
 */
#define _GNU_SOURCE /* mallinfo2 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

#include "ts.h"

/* ---- freed early -------------------------------------------------------------------- */

/* SSLs and sessions keep what they need of a context that its owner freed. */
static void context_first(ts_proto proto)
{
    const char *name = ts_proto_name(proto);
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss = ts_fresh_session(srv, cli), *at_server;
    ts_conn *c;

    ts_expect_core(ts_full_tickets(proto), 0);
    c = ts_conn_new(srv, cli, ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    ts_expect_contexts(2, 0, "freed, and alive by the SSLs' references");
    ts_conn_handshake(c);
    ts_is_str(ts_outcome(c), ts_resumed(proto),
              "%s: a context freed before the handshake", name);
    ts_expect_core(c->tickets, 1);
    if (proto == TS_TLS13 && ts_new_session_ticket(c->server.ssl) == 1) {
        ts_conn_pump(c);
        ts_expect_core(1, 0);
    }
    ts_ok(c->established, "%s: … and the connection goes on", name);
    at_server = SSL_get1_session(c->server.ssl);
    ts_conn_free(c);
    ts_expect_contexts(0, 0, "gone with the last SSL");
    ts_is_int(SSL_SESSION_set1_ticket_appdata(at_server, "late", 4), 1,
              "%s: a session outlives context and SSL", name);
    SSL_SESSION_free(at_server);
    SSL_SESSION_free(ss);
}

/* SSLs that never shake hands; in whatever order things are freed. */
static void never_used(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx(proto);
    SSL *one = SSL_new(srv), *two = SSL_new(srv);

    ts_ok(one != NULL && two != NULL, "%s: two SSLs without a handshake",
          ts_proto_name(proto));
    SSL_free(one);
    SSL_CTX_free(srv);
    SSL_free(two);
    ts_expect_contexts(0, 0, "SSLs without a handshake");
}

/* ---- many ------------------------------------------------------------------------------ */

#define MANY 10000

/* What the heap holds now, in bytes. */
static long heap_in_use(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    struct mallinfo2 m = mallinfo2();

    return (long)(m.uordblks + m.hblkhd);
#else
    return 0;
#endif
}

/* Resident memory, in bytes: also what is not on the heap. */
static long resident(void)
{
    long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL || fscanf(f, "%ld %ld", &size, &pages) != 2)
        ts_bail("cannot read /proc/self/statm");
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

/* One SSL_CTX, used as servers do when they load their settings. */
static void make_and_free(int i)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    ts_raw_keys keys;
    SSL *ssl;

    if (ctx == NULL)
        ts_bail("no context");
    SSL_CTX_set_session_id_context(ctx, (const void *)"many", 4);
    SSL_CTX_set_session_ticket_cb(ctx, ts_gen_cb, ts_dec_cb, NULL);
    if (i % 4 == 1 && ts_have_door(TS_DOOR_EVP_CB))
        ts_key_cb_set(ctx, TS_DOOR_EVP_CB, 1);
    if (i % 4 == 2)
        ts_get_raw_keys(ctx, &keys);
    ssl = SSL_new(ctx);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static void no_growth(void)
{
    int n = ts_scale(MANY);
    long heap, rss, leak = 32L * n; /* a loss of 64 bytes each is twice that */

    for (int i = 0; i < n / 10 + 4; i++)
        make_and_free(i); /* the allocators settle */
    heap = heap_in_use();
    rss = resident();
    for (int i = 0; i < n; i++)
        make_and_free(i);
    heap = heap_in_use() - heap;
    rss = resident() - rss;
    ts_diag("%d contexts: heap %+ld bytes, resident %+ld bytes", n, heap, rss);
    ts_ok(heap < leak, "many contexts: no 64 bytes of heap are lost with each");
    /* Pages say something only when they are many. */
    ts_ok(n < MANY || rss < leak + 256 * 1024L,
          "many contexts: nor does the process get larger");
    ts_expect_contexts(0, 0, "many contexts");
}

/* ---- forks --------------------------------------------------------------------------- */

#define PARCEL 4096

/* A child process with two pipes, which makes a ticket and resumes others'. */
typedef struct worker {
    pid_t pid;
    int to, from;
} worker;

static void put(int fd, const void *data, size_t len)
{
    if (write(fd, data, len) != (ssize_t)len)
        ts_bail("a pipe is broken");
}

static void get(int fd, void *data, size_t len)
{
    size_t n = 0;
    ssize_t more;

    while (n < len && (more = read(fd, (char *)data + n, len - n)) > 0)
        n += (size_t)more;
    if (n < len)
        ts_bail("the other process has gone");
}

/* Sessions go through pipes as DER, in blocks of one size. */
static void put_session(int fd, SSL_SESSION *ss)
{
    unsigned char block[PARCEL] = { 0 }, *p = block + 2;
    int n = i2d_SSL_SESSION(ss, NULL);

    if (n <= 0 || n > PARCEL - 2)
        ts_bail("a session of %d bytes", n);
    block[0] = (unsigned char)(n >> 8);
    block[1] = (unsigned char)n;
    i2d_SSL_SESSION(ss, &p);
    put(fd, block, sizeof(block));
}

static SSL_SESSION *get_session(int fd)
{
    unsigned char block[PARCEL];
    const unsigned char *p = block + 2;
    SSL_SESSION *ss;

    get(fd, block, sizeof(block));
    ss = d2i_SSL_SESSION(NULL, &p, block[0] << 8 | block[1]);
    if (ss == NULL)
        ts_bail("no session came through the pipe");
    return ss;
}

/* What the core did in this process since it was forked, as expected? */
static int core_did(const struct ticketshim_stats *since, long sealed,
                    long opened)
{
    struct ticketshim_stats now;

    if (!ts_shim_expected())
        return 1;
    ts_stats(&now);
    if ((long)(now.sealed - since->sealed) == sealed
        && (long)(now.opened - since->opened) == opened && now.failures == 0)
        return 1;
    ts_diag("core: a child sealed %lld, opened %lld; expected %ld, %ld",
            (long long)(now.sealed - since->sealed),
            (long long)(now.opened - since->opened), sealed, opened);
    return 0;
}

/* In the child. Gives its ticket, resumes each that it is given, says how. */
static void serve(ts_proto proto, SSL_CTX *srv, SSL_CTX *cli, int in, int out)
{
    struct ticketshim_stats start;
    SSL_SESSION *ss;
    unsigned char more, ok;
    long sealed = ts_full_tickets(proto), opened = 0;
    ts_conn *c;

    ts_stats(&start);
    ss = ts_fresh_session(srv, cli);
    put_session(out, ss);
    SSL_SESSION_free(ss);
    for (;;) {
        get(in, &more, 1);
        if (!more)
            break;
        ss = get_session(in);
        c = ts_connect(srv, cli, ss);
        ok = strcmp(ts_outcome(c), ts_resumed(proto)) == 0;
        sealed += c->tickets;
        opened += c->server.resumed;
        put(out, &ok, 1);
        ts_conn_free(c);
        SSL_SESSION_free(ss);
    }
    ok = (unsigned char)core_did(&start, sealed, opened);
    put(out, &ok, 1);
    _exit(0); /* main() is the parent's */
}

static worker fork_worker(ts_proto proto, SSL_CTX *srv, SSL_CTX *cli)
{
    worker w;
    int to[2], from[2];

    if (pipe(to) != 0 || pipe(from) != 0)
        ts_bail("cannot make pipes");
    fflush(NULL);
    w.pid = fork();
    if (w.pid < 0)
        ts_bail("cannot fork");
    if (w.pid == 0)
        serve(proto, srv, cli, to[0], from[1]);
    close(to[0]);
    close(from[1]);
    w.to = to[1];
    w.from = from[0];
    return w;
}

static int resumes_at(const worker *w, SSL_SESSION *ss)
{
    unsigned char more = 1, ok;

    put(w->to, &more, 1);
    put_session(w->to, ss);
    get(w->from, &ok, 1);
    return ok;
}

static void dismiss(const worker *w, const char *name, const char *who)
{
    unsigned char more = 0, ok;
    int status;

    put(w->to, &more, 1);
    get(w->from, &ok, 1);
    ts_ok(ok, "%s: … %s did with the core what it should", name, who);
    ts_ok(waitpid(w->pid, &status, 0) == w->pid && status == 0,
          "%s: … and ended well", name);
    close(w->to);
    close(w->from);
}

/* The 16 bytes behind the key name: what makes each ticket another one. */
static int same_iv(SSL_SESSION *a, SSL_SESSION *b)
{
    size_t len;

    return memcmp(ts_ticket(a, &len) + 16, ts_ticket(b, &len) + 16, 16) == 0;
}

/*
 * One SSL_CTX, three processes: a child forked before the first handshake, one
 * forked after it, and the parent. Everybody resumes everybody's tickets.
 */
static void forked(ts_proto proto)
{
    static const char *const who[] = { "the parent", "a child from before the "
        "first handshake", "a child from after it" };
    const char *name = ts_proto_name(proto);
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss[3];
    worker early, late;
    ts_conn *c;
    int repeated = 0;

    early = fork_worker(proto, srv, cli);
    ss[0] = ts_fresh_session(srv, cli);
    late = fork_worker(proto, srv, cli);
    ss[1] = get_session(early.from);
    ss[2] = get_session(late.from);
    ts_expect_core(ts_full_tickets(proto), 0);
    for (int i = 0; i < 3; i++) {
        c = ts_connect(srv, cli, ss[i]);
        ts_is_str(ts_outcome(c), ts_resumed(proto),
                  "%s: the ticket of %s, at the parent", name, who[i]);
        ts_expect_core(c->tickets, 1);
        ts_conn_free(c);
        ts_ok(resumes_at(&early, ss[i]), "%s: … at the early child", name);
        ts_ok(resumes_at(&late, ss[i]), "%s: … at the late child", name);
        for (int j = 0; j < i; j++)
            repeated += same_iv(ss[i], ss[j]);
    }
    ts_is_int(repeated, 0, "%s: no two of them begin alike", name);
    dismiss(&early, name, "the early child");
    dismiss(&late, name, "the late child");
    for (int i = 0; i < 3; i++)
        SSL_SESSION_free(ss[i]);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

int main(void)
{
    /* First: what other tests leave in the allocator is out of the way. */
    no_growth();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        forked(*p);
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        context_first(*p);
        never_used(*p);
    }
    return ts_done();
}
