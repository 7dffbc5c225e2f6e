/*
 * no_memory.c: memory runs out, at each allocation in turn. Three ways:
 *
 *  - the library's own allocator (Rust's) gives nothing at the n-th call;
 *  - libcrypto's does (CRYPTO_set_mem_functions()), counting only what is asked
 *    for below the library's functions, which is its part of the work;
 *  - libcrypto's does, whoever asks.
 *
 * for every n, while a context is made, an SSL is made, a ticket is sealed, one
 * is opened and sealed again, and keys are rotated and the state file is read. What is the library's part never costs more
 * than the ticket: the handshake is completed. Where libssl itself finds no
 * memory, it may say so, and nothing worse. And afterwards all is as before.
 *
 * ts-run: lib=fault
 */
#define _GNU_SOURCE /* dl_iterate_phdr, RTLD_DEFAULT */
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "ts.h"

typedef enum who { OWN, BELOW, ANYBODY } who;
static const char *const who_fails[] = {
    "the library's allocator", "libcrypto's, for the library", "libcrypto's"
};

/* ---- allocators that fail ------------------------------------------------------- */

static struct { char *start, *end; } text[4]; /* of the library */
static who failing;
static long left;      /* calls until one fails; 0: none does */
static long seen;      /* calls that were counted */
static int armed;
static long (*fault_alloc)(long nth);

static int note_library(struct dl_phdr_info *info, size_t size, void *arg)
{
    int n = 0;

    (void)size;
    (void)arg;
    if (strstr(info->dlpi_name, "libticketshim") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum && n < 4; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type == PT_LOAD && (p->p_flags & PF_X) != 0) {
            text[n].start = (char *)(info->dlpi_addr + p->p_vaddr);
            text[n].end = text[n].start + p->p_memsz;
            n++;
        }
    }
    return 1;
}

/* Was this call made by the library, or by what it called? */
static int below_library(void)
{
    void *frames[64];
    int n = backtrace(frames, 64);

    for (int i = 0; i < n; i++)
        for (int t = 0; t < 4; t++)
            if ((char *)frames[i] >= text[t].start && (char *)frames[i] < text[t].end)
                return 1;
    return 0;
}

static int fails(void)
{
    if (!armed || failing == OWN || (failing == BELOW && !below_library()))
        return 0;
    seen++;
    return left > 0 && --left == 0;
}

static void *take(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : malloc(n);
}

static void *retake(void *old, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : realloc(old, n);
}

static void give(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

static void arm(void)
{
    if (failing == OWN)
        fault_alloc(left);
    armed = 1;
}

static void disarm(void)
{
    long calls;

    armed = 0;
    if (failing != OWN)
        return;
    calls = fault_alloc(0);
    seen += calls;
    left = left > calls ? left - calls : 0;
}

/* ---- handshakes of which only the server's part is short of memory ------------------ */

/* 1 completed, 0 refused. */
static int drive(ts_conn *c)
{
    long sum;

    do {
        sum = (long)BIO_number_written(c->to_server) + (long)BIO_number_written(c->to_client);
        if (!c->client.done && SSL_do_handshake(c->client.ssl) == 1) {
            c->client.done = 1;
            c->client.resumed = SSL_session_reused(c->client.ssl);
        }
        arm();
        if (!c->server.done && SSL_do_handshake(c->server.ssl) == 1) {
            c->server.done = 1;
            c->server.resumed = SSL_session_reused(c->server.ssl);
        }
        disarm();
        ERR_clear_error();
    } while (sum != (long)BIO_number_written(c->to_server) + (long)BIO_number_written(c->to_client));
    ts_conn_pump(c);
    return c->established;
}

typedef struct rig {
    ts_proto proto;
    SSL_CTX *srv, *cli;
    SSL_SESSION *session;
    long broken;      /* handshakes that the library has cost */
    long lost;        /* completed without what they would have had */
    long refused;     /* not completed */
} rig;

static void offer(rig *r, SSL_CTX *srv, SSL_SESSION *session, int must_complete)
{
    ts_conn *c = ts_conn_new(srv, r->cli, session);

    if (!drive(c)) {
        r->refused++;
        r->broken += must_complete;
    } else if (session != NULL ? !c->server.resumed : c->tickets == 0) {
        r->lost++;
    }
    ts_conn_free(c);
}

static void attach(rig *r)
{
    SSL_CTX *ctx;

    arm();
    ctx = SSL_CTX_new(TLS_method());
    disarm();
    ERR_clear_error();
    if (ctx == NULL)
        r->refused++;
    SSL_CTX_free(ctx);
}

static void new_ssl(rig *r)
{
    ts_conn *c = ts_conn_new(r->srv, r->cli, NULL);
    SSL *ssl;

    arm();
    ssl = SSL_new(r->srv);
    disarm();
    ERR_clear_error();
    if (ssl == NULL) {
        /* Also below the library's functions: they have no part in whether an SSL is made. */
        r->refused++;
        r->broken += failing != ANYBODY;
    } else {
        ts_conn_server_is(c, ssl);
        r->broken += !drive(c) && failing != ANYBODY;
        r->lost += c->established && c->tickets == 0;
    }
    ts_conn_free(c);
}

static void seal(rig *r)
{
    offer(r, r->srv, NULL, failing != ANYBODY);
}

/* A context's first tickets: what it is bound to is hashed then, and kept. */
static void first_seal(rig *r)
{
    SSL_CTX *srv = ts_server_ctx(r->proto);

    offer(r, srv, NULL, failing != ANYBODY);
    SSL_CTX_free(srv);
}

static void open_and_seal(rig *r)
{
    offer(r, r->srv, r->session, failing != ANYBODY);
}

/* An hour later: the keys are rotated; and the state file has changed, so it is read. */
static void rotate(rig *r)
{
    static long hours;
    char clock[32];
    SSL_SESSION *session = ts_fresh_session(r->srv, r->cli);

    snprintf(clock, sizeof(clock), "+%ld", ++hours * 3600);
    if (setenv("TICKETSHIM_FAULT_CLOCK", clock, 1) != 0
        || (getenv("TICKETSHIM_STATE") != NULL && utimensat(AT_FDCWD, getenv("TICKETSHIM_STATE"), NULL, 0) != 0))
        ts_bail("cannot change the clock and the file");
    offer(r, r->srv, session, failing != ANYBODY);
    SSL_SESSION_free(session);
}

/*
 * Again, with a state file and a file for the counters: settings are read at
 * load. Not under memcheck, which would not come along: without files there.
 */
static void start_again(char **argv)
{
    char dir[] = "/tmp/ticketshim-no-memory.XXXXXX", name[64];

    if (getenv("TICKETSHIM_STATE") != NULL || strstr(getenv("LD_PRELOAD"), "vgpreload") != NULL)
        return;
    if (mkdtemp(dir) == NULL)
        ts_bail("no directory");
    snprintf(name, sizeof(name), "%s/state", dir);
    setenv("TICKETSHIM_STATE", name, 1);
    snprintf(name, sizeof(name), "%s/stats", dir);
    setenv("TICKETSHIM_STATS", name, 1);
    execv(argv[0], argv);
    ts_bail("cannot start again");
}

static void remove_files(void)
{
    const char *state = getenv("TICKETSHIM_STATE");
    char dir[64];

    if (state == NULL)
        return;
    ts_ok(unlink(getenv("TICKETSHIM_STATS")) == 0 && unlink(state) == 0, "the files were there");
    snprintf(dir, sizeof(dir), "%.*s", (int)(strlen(state) - strlen("/state")), state);
    ts_ok(rmdir(dir) == 0, "… and nothing was left beside them");
}

/* ---- each n ------------------------------------------------------------------------- */

static void each(rig *r, who who, void (*work)(rig *r), const char *what)
{
    struct ticketshim_stats before, after;
    long n = 0;
    int times = 0;
    SSL_SESSION *good;
    ts_conn *c;

    r->broken = r->lost = r->refused = 0;
    failing = who;
    ts_stats(&before);
    do {
        /* What libssl asks for itself is hundreds of calls, in 3.0.2 thousands: under memcheck not each of them. */
        n += n < 20 ? 1 : (n < 500 ? 1 : 13) * (long)ts_stride();
        times++;
        left = n;
        seen = 0;
        work(r);
    } while (seen >= n);
    left = 0;
    ts_stats(&after);
    ts_is_int(r->broken, 0, "%s: %s: %s: no handshake is lost over it", ts_proto_name(r->proto), what,
              who_fails[who]);
    if (who == OWN)
        ts_ok((long)(after.failures - before.failures) >= r->lost, "%s: %s: … and what was lost is counted",
              ts_proto_name(r->proto), what);
    ts_diag("%s: %s: %s: failed at %d of %ld calls: %ld lost, %ld refused, %llu failures", ts_proto_name(r->proto),
            what, who_fails[who], times - 1, seen, r->lost, r->refused,
            (unsigned long long)(after.failures - before.failures));
    good = ts_fresh_session(r->srv, r->cli);
    c = ts_connect(r->srv, r->cli, good);
    ts_is_str(ts_outcome(c), ts_resumed(r->proto), "%s: %s: … and then all is as before", ts_proto_name(r->proto),
              what);
    ts_conn_free(c);
    SSL_SESSION_free(good);
}

/*
 * Seen to die in libssl's own code: SSL_read() of 3.5.5 on an SSL whose record
 * layer could not be made, 3.0.2 and 1.1.1w elsewhere. 3.0.19 and 4.0.3 do not.
 */
static int libssl_survives(void)
{
    unsigned long version = OpenSSL_version_num();

    return (version >= 0x30000130 && version < 0x30100000)
        || version >= 0x40000030;
}

int main(int argc, char **argv)
{
    void *first[1], *p = dlsym(RTLD_DEFAULT, "ticketshim_fault_alloc");

    (void)argc;
    start_again(argv);
    backtrace(first, 1); /* loads what it needs */
    if (CRYPTO_set_mem_functions(take, retake, give) != 1)
        ts_bail("libcrypto has memory already");
    if (p == NULL)
        ts_bail("not the library with fault injection");
    memcpy(&fault_alloc, &p, sizeof(fault_alloc));
    if (dl_iterate_phdr(note_library, NULL) != 1 || text[0].start == NULL)
        ts_bail("where is the library?");
    for (const ts_proto *proto = ts_tls_protos; *proto != TS_PROTO_END; proto++) {
        rig r = { .proto = *proto };

        r.srv = ts_server_ctx(r.proto);
        r.cli = ts_client_ctx(r.proto);
        r.session = ts_fresh_session(r.srv, r.cli);
        for (who who = OWN; who <= ANYBODY; who++) {
            if (who == ANYBODY && !libssl_survives()) {
                ts_note("n/a: this libssl itself ends programs that have no memory");
                continue;
            }
            if (who == BELOW && OpenSSL_version_num() < 0x30000000) {
                ts_note("n/a: HMAC_Init_ex() of this libcrypto writes through NULL");
                continue;
            }
            each(&r, who, attach, "a context");
            each(&r, who, new_ssl, "an SSL");
            each(&r, who, seal, "sealing");
            each(&r, who, first_seal, "a context's first ticket");
            each(&r, who, open_and_seal, "opening");
            each(&r, who, rotate, "rotating");
        }
        SSL_SESSION_free(r.session);
        SSL_CTX_free(r.srv);
        SSL_CTX_free(r.cli);
    }
    remove_files();
    /* Where some of it is n/a, it is a third of that. */
    ts_expect_core_min(50, 15);
    ts_expect_failures(1);
    return ts_done();
}
