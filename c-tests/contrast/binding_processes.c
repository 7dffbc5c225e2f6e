/*
 * binding_processes.c: tickets between processes. Workers that were forked share
 * keys by themselves, others by a state file; a ticket of one opens in the
 * other at the same place and at no other.
 *
 * With a state file each process makes a context of its own and a key pair of
 * its own: what they have in common is the file, how they are configured, and
 * the client CAs that they trust.
 */
#define _GNU_SOURCE /* mkdtemp, fork */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "ts.h"

#define A "a.example"
#define B "b.example"

/* ---- places that a process can make by their name -------------------------------- */

typedef struct spot {
    const char *label;            /* what the processes call it by */
    const char *name;             /* server name, or NULL */
    const char *client_ca;        /* demands certificates of a CA of this name */
    const char *sid;
} spot;

static const spot spots[] = {
    { "open", A, NULL, NULL },
    { "other-name", B, NULL, NULL },
    { "no-name", NULL, NULL, NULL },
    { "demands", A, "client CA", NULL },
    { "other-ca", A, "other client CA", NULL },
    { "other-sid", A, NULL, "other" },
};

static const spot *find_spot(const char *label)
{
    for (size_t i = 0; i < sizeof(spots) / sizeof(spots[0]); i++)
        if (strcmp(spots[i].label, label) == 0)
            return &spots[i];
    ts_bail("no place called %s", label);
}

/* A client CA: the one that processes which share CA_DIR have in common. */
#define CA_DIR "TS_CA_DIR"

static ts_cert *client_ca(const char *name)
{
    const char *dir = getenv(CA_DIR);
    ts_cert *ca;
    char file[256];
    BIO *bio;

    if (dir == NULL)
        return ts_cert_new(name, NULL, TS_CERT_CA);
    BIO_snprintf(file, sizeof(file), "%s/%s.pem", dir, name);
    if ((bio = BIO_new_file(file, "r")) != NULL) {
        if ((ca = calloc(1, sizeof(*ca))) == NULL)
            ts_bail("no memory");
        ca->x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        ca->key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        if (ca->x509 == NULL || ca->key == NULL)
            ts_bail("cannot read %s", file);
    } else {
        ERR_clear_error();
        ca = ts_cert_new(name, NULL, TS_CERT_CA);
        bio = BIO_new_file(file, "w");
        if (bio == NULL || PEM_write_bio_X509(bio, ca->x509) != 1
            || PEM_write_bio_PrivateKey(bio, ca->key, NULL, NULL, 0, NULL, NULL)
               != 1)
            ts_bail("cannot write %s", file);
    }
    BIO_free(bio);
    return ca;
}

/* The server of a place; `client`, if it demands a certificate, has one. */
static SSL_CTX *server_at(ts_proto p, const spot *s, SSL_CTX **client)
{
    ts_place place = { .sid = s->sid };
    ts_cert *ca, *cert;
    SSL_CTX *ctx;

    if (s->client_ca == NULL) {
        *client = ts_client_ctx(p);
        return ts_place_new(p, &place);
    }
    ca = client_ca(s->client_ca);
    cert = ts_cert_new("client", ca, 0);
    place.client_ca = ca;
    ctx = ts_place_new(p, &place);
    *client = ts_client_with(p, cert);
    ts_cert_free(ca);
    ts_cert_free(cert);
    return ctx;
}

/* ---- what a process does, and says ------------------------------------------------- */

static size_t to_bytes(SSL_SESSION *ss, unsigned char *buf, size_t size)
{
    unsigned char *p = buf;
    int n = i2d_SSL_SESSION(ss, NULL);

    if (n <= 0 || (size_t)n > size || i2d_SSL_SESSION(ss, &p) != n)
        ts_bail("cannot write a session");
    return (size_t)n;
}

static SSL_SESSION *from_bytes(const unsigned char *buf, size_t len)
{
    SSL_SESSION *ss = d2i_SSL_SESSION(NULL, &buf, (long)len);

    if (ss == NULL)
        ts_bail("cannot read a session");
    return ss;
}

static SSL_SESSION *issue(ts_proto p, const spot *s, SSL_CTX *srv, SSL_CTX *cli)
{
    const ts_journey j = { .proto = p, .from = srv, .cli = cli,
        .from_name = s->name, .what = s->label };

    return ts_depart(&j);
}

/* One connection with this ticket: "resumed" or "full", and what was counted. */
static void offer(const spot *s, SSL_CTX *srv, SSL_CTX *cli,
                  SSL_SESSION *ss, char *text, size_t size)
{
    struct ticketshim_stats st;
    ts_conn *c = s->name != NULL ? ts_connect_to(srv, cli, ss, s->name)
        : ts_connect(srv, cli, ss);

    ts_stats(&st);
    BIO_snprintf(text, size, "%s, opened %d, binding %d, unknown %d",
                 !c->established ? ts_outcome(c)
                 : c->server.resumed ? "resumed" : "full", (int)st.opened,
                 (int)st.refused_binding, (int)st.refused_unknown_key);
    ts_conn_free(c);
}

/* What is to be said: in stock nothing is counted. */
static const char *expected(int resumes)
{
    return resumes ? "resumed, opened 1, binding 0, unknown 0"
        : "full, opened 0, binding 1, unknown 0";
}

#define STOCK_FULL "full, opened 0, binding 0, unknown 0"
#define STOCK_RESUMED "resumed, opened 0, binding 0, unknown 0"

/* Its roles: "issue PROTO LABEL" and "offer PROTO LABEL", in one word. */
static int in_a_role(const char *role)
{
    unsigned char buf[16384];
    char text[128], verb[8], label[32];
    int number;
    const spot *s;
    SSL_CTX *srv, *cli;
    SSL_SESSION *ss;

    if (sscanf(role, "%7[a-z]:%d:%31s", verb, &number, label) != 3)
        ts_bail("no such role: %s", role);
    s = find_spot(label);
    srv = server_at((ts_proto)number, s, &cli);
    if (strcmp(verb, "issue") == 0) {
        ss = issue((ts_proto)number, s, srv, cli);
        ts_child_output(buf, to_bytes(ss, buf, sizeof(buf)));
    } else {
        ss = from_bytes(buf, ts_child_input(buf, sizeof(buf)));
        offer(s, srv, cli, ss, text, sizeof(text));
        ts_child_output(text, strlen(text));
    }
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    return 0;
}

/* ---- two processes and a state file -------------------------------------------------- */

static void run(ts_child *c, const char *verb, ts_proto p, const char *label,
                const char *dir)
{
    char role[64], setting[256], cas[256];
    const char *env[] = { setting, cas, NULL };

    BIO_snprintf(role, sizeof(role), "%s:%d:%s", verb, (int)p, label);
    BIO_snprintf(setting, sizeof(setting), "TICKETSHIM_STATE=%s/state", dir);
    BIO_snprintf(cas, sizeof(cas), CA_DIR "=%s", dir);
    c->role = role;
    c->env = env;
    ts_child_run(c);
    if (c->exit_code != 0)
        ts_bail("%s ended with %d", role, c->exit_code);
}

static void between(ts_proto p, const char *from, const char *to,
                    const char *dir, const char *want)
{
    ts_child one = { 0 }, two = { 0 };

    run(&one, "issue", p, from, dir);
    two.in = one.out;
    two.in_len = one.out_len;
    run(&two, "offer", p, to, dir);
    ts_is_str((const char *)two.out, want, "%s: another process: %s to %s: %s",
              ts_proto_name(p), from, to, want);
    ts_child_free(&one);
    ts_child_free(&two);
}

static void with_a_state_file(ts_proto p, const char *dir)
{
    static const struct { const char *from, *to; int resumes; } rows[] = {
        { "open", "open", 1 }, { "open", "other-name", 0 },
        { "open", "no-name", 0 }, { "no-name", "open", 0 },
        { "open", "demands", 0 }, { "demands", "demands", 1 },
        { "demands", "other-ca", 0 }, { "demands", "open", 0 },
        { "open", "other-sid", 0 }, { "other-sid", "other-sid", 1 },
        /* Without a name the certificate's key counts, and each has its own. */
        { "no-name", "no-name", 0 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        between(p, rows[i].from, rows[i].to, dir, !ts_shim_expected()
                ? STOCK_FULL : expected(rows[i].resumes));
}

/* ---- a process that was forked --------------------------------------------------------- */

/* In the child: a ticket of `s`, with these contexts or with some of its own. */
static SSL_SESSION *ticket_of_a_fork(ts_proto p, const spot *s, SSL_CTX *srv,
                                     SSL_CTX *cli, int made_before)
{
    unsigned char buf[16384];
    int fds[2], status;
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    if (pipe(fds) != 0 || (pid = fork()) < 0)
        ts_bail("cannot fork");
    if (pid == 0) {
        /* Its own copies; all is freed here for valgrind, which looks at both. */
        SSL_CTX *own_cli = cli, *own = srv;
        SSL_SESSION *ss;

        if (!made_before) {
            SSL_CTX_free(srv);
            SSL_CTX_free(cli);
            own = server_at(p, s, &own_cli);
        }
        ss = issue(p, s, own, own_cli);
        len = to_bytes(ss, buf, sizeof(buf));
        SSL_SESSION_free(ss);
        SSL_CTX_free(own);
        SSL_CTX_free(own_cli);
        _exit(write(fds[1], buf, len) == (ssize_t)len ? 0 : 1);
    }
    close(fds[1]);
    while ((n = read(fds[0], buf + len, sizeof(buf) - len)) > 0)
        len += (size_t)n;
    close(fds[0]);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        ts_bail("the child did not issue a ticket");
    return from_bytes(buf, len);
}

static void of_a_fork(ts_proto p, const char *from, const char *to, int made_before,
                      ts_fate stock, int resumes)
{
    SSL_CTX *cli, *srv = server_at(p, find_spot(to), &cli);
    SSL_SESSION *ss = ticket_of_a_fork(p, find_spot(from), srv, cli, made_before);
    ts_journey j = { .proto = p, .from = srv, .cli = cli,
        .to_name = find_spot(to)->name,
        .shim = resumes ? TS_RESUMES
            : find_spot(to)->client_ca != NULL ? TS_ASKED : TS_FULL,
        .what = "to the parent" };

    ts_note("a forked process: %s, to %s here, contexts made %s the fork", from,
            to, made_before ? "before" : "after");
    SSL_SESSION_free(ts_arrive(&j, ss, stock));
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

static void forked(ts_proto p)
{
    of_a_fork(p, "open", "open", 1, TS_RESUMES, 1);
    of_a_fork(p, "open", "open", 0, TS_FULL, 1);
    of_a_fork(p, "open", "other-name", 1, TS_RESUMES, 0);
    of_a_fork(p, "open", "other-name", 0, TS_FULL, 0);
    of_a_fork(p, "no-name", "open", 1, TS_RESUMES, 0);
    of_a_fork(p, "open", "demands", 0, TS_ASKED, 0);
    of_a_fork(p, "other-ca", "demands", 0, TS_ASKED, 0);
    of_a_fork(p, "other-sid", "open", 0, TS_FULL, 0);
}

int main(int argc, char **argv)
{
    static const char *const files[] = {
        "state", "state.lock", "client CA.pem", "other client CA.pem"
    };
    char dir[] = "/tmp/ticketshim-test-XXXXXX", file[80];

    if (argc > 1)
        return in_a_role(argv[1]);
    if (mkdtemp(dir) == NULL)
        ts_bail("cannot make a directory");
    /* fork() copies the certificates that are there. */
    ts_ca();
    ts_server_cert();
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        forked(*p);
        with_a_state_file(*p, dir);
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        BIO_snprintf(file, sizeof(file), "%s/%s", dir, files[i]);
        unlink(file);
    }
    if (rmdir(dir) != 0)
        ts_diag("left behind: %s", dir);
    return ts_done();
}
