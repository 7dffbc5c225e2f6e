/* contract.c: every way in a table, in processes of its own, held to three rules. See contract.h. */
#define _GNU_SOURCE /* mkdtemp, setenv */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include "internal.h"

#define NAME "shop.example"
#define DIR "TS_CONTRACT_DIR"

/* Handshakes, in their order: first those of the first process. */
enum {
    FRESH_LAX, MEMBER_STRICT,     /* these two give the tickets that the others offer */
    ACROSS_COLD, FRESH_MEMBER, ACROSS_WARM, FRESH_STRICT,
    WITHIN_LAX, ACROSS_RENEWED,
    WITHIN_1, WITHIN_2, WITHIN_3,
    TWIN_COLD, TWIN_FRESH, TWIN_WARM, TWIN_BACK,
    /* of the second: a restart */
    RESTART_COLD, RESTART_FRESH, RESTART_WARM, RESTART_STRICT,
    RESTART_TWIN_COLD, RESTART_TWIN_WARM,
    N_VISITS
};

static const char *const visit_names[N_VISITS] = {
    "the intruder at the lax one", "the member at the strict one",
    "its ticket at a strict one that nobody has been to", "the member there",
    "its ticket there, after that", "the intruder there, in full",
    "its ticket at the lax one", "the ticket that it got for that, at the strict one",
    "the member's ticket where it is from", "and the next one",
    "and one more, after others have been there",
    "the member's ticket at another one alike", "the member there, in full",
    "its ticket there, after that", "and back",
    "restart: the intruder's ticket at the strict one", "restart: the member there, in full",
    "restart: the intruder's ticket, after that", "restart: the intruder there, in full",
    "restart: the member's ticket, at first", "restart: the member's ticket, after that",
};

typedef struct visit {
    char fate[16];                /* "resumed", "full", "refused" */
    long offered, opened, refused, unknown, sealed;
    char outcome[96];             /* in more words */
} visit;

/* ---- what hooks use --------------------------------------------------------------- */

static SSL_CTX *kept[64];
static size_t n_kept;
static int took_psk;

SSL_CTX *ts_for_good(SSL_CTX *ctx)
{
    if (n_kept == sizeof(kept) / sizeof(kept[0]))
        ts_bail("too many contexts to keep");
    return kept[n_kept++] = ctx;
}

void ts_took_psk(void)
{
    took_psk = 1;
}

void ts_demand(SSL_CTX *ctx, const ts_cert *of, SSL_verify_cb callback)
{
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), of->x509) != 1
        || SSL_CTX_add_client_CA(ctx, of->x509) != 1)
        ts_bail("cannot name a client CA");
    SSL_CTX_set_verify(ctx, TS_DEMANDS, callback);
}

/* ---- one process: its contexts, its visits ----------------------------------------- */

static visit visits[N_VISITS];
static const ts_way *way;
static ts_proto proto;

/* As ts_server_ctx(), without a certificate. */
static SSL_CTX *bare_ctx(void)
{
    int version = proto == TS_TLS12 ? TLS1_2_VERSION
        : proto == TS_TLS13 ? TLS1_3_VERSION : DTLS1_2_VERSION;
    SSL_CTX *ctx = SSL_CTX_new(proto == TS_DTLS12 ? DTLS_method() : TLS_method());

    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, version) != 1
        || SSL_CTX_set_max_proto_version(ctx, version) != 1
        || SSL_CTX_set_session_id_context(ctx, (const void *)"ts", 2) != 1)
        ts_bail("cannot make a context");
    return ctx;
}

static SSL_CTX *server_ctx(int strict)
{
    SSL_CTX *ctx = strict && way->no_cert ? bare_ctx() : ts_server_ctx(proto);

    if (way->ctx != NULL)
        way->ctx(ctx, strict);
    return ctx;
}

static SSL_CTX *client_ctx(ts_who who)
{
    SSL_CTX *ctx = ts_client_ctx(proto);
    ts_cert *cert = ts_cert_of(who), *chain = ts_intermediate();

    if (who == TS_SMALL)
        SSL_CTX_set_security_level(ctx, 0);
    if (cert != NULL)
        ts_use_cert(ctx, cert, &chain, who == TS_DEEP);
    if (way->client_ctx != NULL)
        way->client_ctx(ctx, who);
    return ctx;
}

static ts_who member(void)
{
    return way->nobody_is_member ? TS_NOBODY
        : way->member != TS_NOBODY ? way->member : TS_MEMBER;
}

static int has_ticket(SSL_SESSION *ss)
{
    return ss != NULL && SSL_SESSION_has_ticket(ss);
}

/* One visit, written down as number `n`. Returns the session to go on with. */
static SSL_SESSION *visit_to(int n, SSL_CTX *ctx, int strict, ts_who who, SSL_SESSION *offer)
{
    visit *v = &visits[n];
    SSL_CTX *cli = client_ctx(who);
    ts_conn *c = ts_conn_new(ctx, cli, offer);
    struct ticketshim_stats old, now;
    SSL_SESSION *next = NULL;

    ts_stats(&old);
    took_psk = 0;
    if (SSL_set_tlsext_host_name(c->client.ssl, NAME) != 1)
        ts_bail("cannot set the server's name");
    if (way->server != NULL)
        way->server(c, strict);
    if (way->client != NULL)
        way->client(c, who);
    ts_conn_handshake(c);
    if (c->established && way->later != NULL && !ts_shows_certificate(c->server.ssl)) {
        way->later(c, strict);
        c->established = c->established && ts_shows_certificate(c->server.ssl);
    }
    ts_stats(&now);
    snprintf(v->fate, sizeof(v->fate), "%s", !c->established ? "refused"
             : c->server.resumed && !took_psk ? "resumed" : "full");
    snprintf(v->outcome, sizeof(v->outcome), "%s", ts_outcome(c));
    v->offered = offer != NULL;
    v->opened = (long)(now.opened - old.opened);
    v->unknown = (long)(now.refused_unknown_key - old.refused_unknown_key
                        + now.refused_bad_mac - old.refused_bad_mac
                        + now.refused_malformed - old.refused_malformed
                        + now.failures - old.failures);
    v->refused = (long)(ts_refused(&now) - ts_refused(&old)
                        + now.ended - old.ended) - v->unknown;
    v->sealed = (long)(now.sealed - old.sealed);
    if (c->established)
        next = proto == TS_TLS13 ? ts_session(c) : SSL_get1_session(c->client.ssl);
    if (!has_ticket(next) && offer != NULL) {
        SSL_SESSION_free(next);
        SSL_SESSION_up_ref(offer);
        next = offer;
    }
    ts_conn_free(c);
    SSL_CTX_free(cli);
    return next;
}

static void only(int n, SSL_CTX *ctx, int strict, ts_who who, SSL_SESSION *offer)
{
    SSL_SESSION_free(visit_to(n, ctx, strict, who, offer));
}

/* Visits whose outcome nobody asks for. */
static void others_come(SSL_CTX *ctx)
{
    visit before = visits[FRESH_STRICT];

    only(FRESH_STRICT, ctx, 1, way->intruder, NULL);
    only(FRESH_STRICT, ctx, 1, member(), NULL);
    visits[FRESH_STRICT] = before;
}

static void print_session(SSL_SESSION *ss)
{
    unsigned char *der = NULL;
    int len = i2d_SSL_SESSION(ss, &der);

    printf("session ");
    for (int i = 0; i < len; i++)
        printf("%02x", der[i]);
    printf("\n");
    OPENSSL_free(der);
}

static void here(void)
{
    SSL_CTX *lax = server_ctx(0), *strict = server_ctx(1), *there = server_ctx(1),
        *alike = server_ctx(1);
    SSL_SESSION *intruders = visit_to(FRESH_LAX, lax, 0, way->intruder, NULL),
        *members = visit_to(MEMBER_STRICT, strict, 1, member(), NULL), *one, *two;

    if (!has_ticket(intruders) || !has_ticket(members))
        ts_bail("no ticket to begin with: %s, %s", visits[FRESH_LAX].outcome,
                visits[MEMBER_STRICT].outcome);
    if (way->wait != NULL)
        way->wait();
    only(ACROSS_COLD, there, 1, way->intruder, intruders);
    only(FRESH_MEMBER, there, 1, member(), NULL);
    only(ACROSS_WARM, there, 1, way->intruder, intruders);
    only(FRESH_STRICT, there, 1, way->intruder, NULL);

    one = visit_to(WITHIN_LAX, lax, 0, way->intruder, intruders);
    only(ACROSS_RENEWED, there, 1, way->intruder, one);
    SSL_SESSION_free(one);

    one = visit_to(WITHIN_1, strict, 1, member(), members);
    two = visit_to(WITHIN_2, strict, 1, member(), one);
    others_come(strict);
    only(WITHIN_3, strict, 1, member(), two);
    SSL_SESSION_free(one);
    SSL_SESSION_free(two);

    only(TWIN_COLD, alike, 1, member(), members);
    only(TWIN_FRESH, alike, 1, member(), NULL);
    one = visit_to(TWIN_WARM, alike, 1, member(), members);
    only(TWIN_BACK, strict, 1, member(), one);
    SSL_SESSION_free(one);

    print_session(intruders);
    print_session(members);
    SSL_SESSION_free(intruders);
    SSL_SESSION_free(members);
    SSL_CTX_free(lax);
    SSL_CTX_free(strict);
    SSL_CTX_free(there);
    SSL_CTX_free(alike);
}

static SSL_SESSION *read_session(void)
{
    static char line[65536];
    static unsigned char der[32768];
    const unsigned char *p = der;
    size_t n = 0;
    unsigned byte;

    if (fgets(line, sizeof(line), stdin) == NULL)
        ts_bail("no session to begin with");
    for (const char *hex = line + strlen("session "); sscanf(hex, "%2x", &byte) == 1; hex += 2)
        der[n++] = (unsigned char)byte;
    return n > 0 ? d2i_SSL_SESSION(NULL, &p, (long)n) : NULL;
}

static void there(void)
{
    SSL_SESSION *intruders = read_session(), *members = read_session();
    SSL_CTX *strict = server_ctx(1), *alike = server_ctx(1);

    if (intruders == NULL || members == NULL)
        ts_bail("no ticket from before the restart");
    only(RESTART_COLD, strict, 1, way->intruder, intruders);
    only(RESTART_FRESH, strict, 1, member(), NULL);
    only(RESTART_WARM, strict, 1, way->intruder, intruders);
    only(RESTART_STRICT, strict, 1, way->intruder, NULL);
    only(RESTART_TWIN_COLD, alike, 1, member(), members);
    others_come(alike);
    only(RESTART_TWIN_WARM, alike, 1, member(), members);
    SSL_SESSION_free(intruders);
    SSL_SESSION_free(members);
    SSL_CTX_free(strict);
    SSL_CTX_free(alike);
}

static int in_a_role(const char *role, const ts_way *ways, size_t n)
{
    size_t number;
    int p;
    char verb[8];

    if (sscanf(role, "%7[a-z]:%zu:%d", verb, &number, &p) != 3 || number >= n)
        ts_bail("no such role: %s", role);
    way = &ways[number];
    proto = (ts_proto)p;
    ts_contract_pki(getenv(DIR), 0);
    if (strcmp(verb, "there") == 0) {
        ts_has_expired();
        there();
    } else {
        here();
    }
    for (int i = 0; i < N_VISITS; i++)
        if (visits[i].fate[0] != '\0')
            printf("%d %s %ld %ld %ld %ld %ld %s\n", i, visits[i].fate, visits[i].offered,
                   visits[i].opened, visits[i].refused, visits[i].unknown, visits[i].sealed,
                   visits[i].outcome);
    while (n_kept > 0)
        SSL_CTX_free(kept[--n_kept]);
    ts_contract_pki_free();
    return 0;
}

/* ---- the first process: runs the others, and judges -------------------------------- */

/* One of them, and what it wrote. `in` is handed on to it; its sessions are in *out. */
static int run(const char *verb, int stock, const char *in, visit *v, char **out)
{
    char role[32], dir[256], state[280];
    const char *env[] = { dir, state, NULL };
    ts_child c = { .role = role, .stock = stock, .env = env, .in = in,
        .in_len = in != NULL ? strlen(in) : 0 };
    int n, at;

    snprintf(role, sizeof(role), "%s", verb);
    snprintf(dir, sizeof(dir), DIR "=%s", getenv(DIR));
    snprintf(state, sizeof(state), "TICKETSHIM_STATE=%s/state", getenv(DIR));
    ts_child_run(&c);
    if (getenv("TS_TRACE") != NULL)
        ts_diag("%s%s:\n%s", role, stock ? ", stock" : "", (const char *)c.out);
    if (c.exit_code != 0)
        ts_diag("%s%s ended with %d: %s", role, stock ? ", stock," : "", c.exit_code,
                (const char *)c.out);
    else
        for (char *line = strtok((char *)c.out, "\n"), *end = NULL; line != NULL;
             line = strtok(NULL, "\n")) {
            if (strncmp(line, "session ", 8) == 0) {
                if (out != NULL)
                    end = *out + strlen(*out), sprintf(end, "%s\n", line);
                continue;
            }
            if (sscanf(line, "%d %n", &n, &at) == 1 && n < N_VISITS)
                sscanf(line + at, "%15s %ld %ld %ld %ld %ld %95[^\n]", v[n].fate,
                       &v[n].offered, &v[n].opened, &v[n].refused, &v[n].unknown,
                       &v[n].sealed, v[n].outcome);
        }
    n = c.exit_code;
    ts_child_free(&c);
    return n == 0;
}

static int is(const visit *v, int n, const char *fate)
{
    return strcmp(v[n].fate, fate) == 0;
}

static char wrong[2048];

/* Writes down what is not as it must be. */
static void want(const visit *v, int n, const char *fate, int full_will_do)
{
    size_t used = strlen(wrong);

    if (is(v, n, fate) || (full_will_do && is(v, n, "full")))
        return;
    BIO_snprintf(wrong + used, sizeof(wrong) - used, "\n#   %s: %s (%s), not %s",
             visit_names[n], v[n].fate, v[n].outcome, fate);
}

/* One rule for one way: a test, unless the way awaits what will hold it. */
static void rule(const char *name, const char *what)
{
    if (wrong[0] != '\0' && way->awaits != NULL && strstr(way->awaits, name) != NULL)
        ts_note("awaited: %s: %s: %s", ts_proto_name(proto), way->name, name);
    else if (!ts_ok(wrong[0] == '\0', "%s: %s: %s: %s", ts_proto_name(proto), way->name,
                    name, what))
        ts_diag("%s", wrong + 1);
    wrong[0] = '\0';
}

static void across(const visit *v)
{
    const char *in_full = v[FRESH_STRICT].fate, *fate = way->plain ? "resumed" : in_full;
    int cold = way->learns;

    want(v, ACROSS_COLD, fate, cold);
    want(v, ACROSS_WARM, fate, 0);
    want(v, ACROSS_RENEWED, fate, 0);
    want(v, RESTART_COLD, fate, cold);
    want(v, RESTART_WARM, fate, 0);
    rule("across", fate);
}

static void within(const visit *stock, const visit *v)
{
    static const int journeys[] = { WITHIN_1, WITHIN_2, WITHIN_3 };
    const char *fate = way->within_lax != NULL ? way->within_lax : stock[WITHIN_LAX].fate;

    want(v, WITHIN_LAX, fate, 0);
    for (size_t i = 0; i < sizeof(journeys) / sizeof(journeys[0]); i++)
        want(v, journeys[i], way->within != NULL ? way->within : stock[journeys[i]].fate, 0);
    if (way->exception != NULL)
        ts_note("not as stock, where it is %s and %s: %s", stock[WITHIN_LAX].fate,
                stock[WITHIN_1].fate, way->exception);
    rule("within", fate);
}

static void twin(const visit *v)
{
    const char *fate = way->twin == TS_ISOLATED ? "full" : "resumed";
    int either = way->twin == TS_EITHER;

    want(v, TWIN_COLD, fate, either || way->learns);
    want(v, TWIN_WARM, fate, either);
    want(v, TWIN_BACK, fate, either);
    want(v, RESTART_TWIN_COLD, fate, either || way->learns);
    want(v, RESTART_TWIN_WARM, fate, either);
    rule("twin", either ? "resumed or full" : fate);
}

/* Does the way decide as it is to? Else the rules would say nothing. */
static void decides(const visit *v, int restarted)
{
    const char *turned_away = way->harmless || way->plain ? "full" : "refused";

    want(v, FRESH_LAX, "full", 0);
    want(v, MEMBER_STRICT, "full", 0);
    want(v, FRESH_MEMBER, "full", 0);
    want(v, TWIN_FRESH, "full", 0);
    want(v, FRESH_STRICT, turned_away, 0);
    if (restarted) {
        want(v, RESTART_FRESH, "full", 0);
        want(v, RESTART_STRICT, turned_away, 0);
    }
    rule("decides", turned_away);
}

/* The core gave every ticket, and had its say about each that was offered. */
static void core(const visit *v)
{
    size_t used;

    for (int i = 0; i < N_VISITS; i++) {
        used = strlen(wrong);
        if (v[i].unknown != 0 || (v[i].offered && v[i].opened + v[i].refused < 1)
            || (is(v, i, "resumed") && v[i].opened < 1)
            || (!v[i].offered && is(v, i, "full") && v[i].sealed < 1))
            BIO_snprintf(wrong + used, sizeof(wrong) - used,
                     "\n#   %s: %s, opened %ld, refused %ld, unknown %ld, sealed %ld",
                     visit_names[i], v[i].fate, v[i].opened, v[i].refused, v[i].unknown,
                     v[i].sealed);
    }
    rule("core", "it gave all tickets and saw all that were offered");
}

/* TICKETSHIM_BIND=stock: no difference at all, but that no handshake is ended over a ticket. */
static void as_stock(const visit *stock, const visit *v)
{
    int ends = way->within != NULL;

    for (int i = 0; i < RESTART_COLD; i++)
        want(v, i, ends && is(stock, i, "refused") && is(v, i, way->within) ? way->within
             : stock[i].fate, ends);
    want(v, RESTART_COLD, v[RESTART_STRICT].fate, 0);
    want(v, RESTART_WARM, v[RESTART_STRICT].fate, 0);
    want(v, RESTART_TWIN_COLD, "full", 0);
    want(v, RESTART_TWIN_WARM, "full", 0);
    rule("stock", "each as in stock");
}

static void judge(size_t number)
{
    static visit stock[N_VISITS], shim[N_VISITS];
    static char sessions[131072];
    char *out = sessions, verb[32];
    int ran;

    memset(stock, 0, sizeof(stock));
    memset(shim, 0, sizeof(shim));
    sessions[0] = '\0';
    snprintf(verb, sizeof(verb), "here:%zu:%d", number, (int)proto);
    ran = run(verb, 1, NULL, stock, NULL);
    if (!ts_shim_expected()) {
        if (ts_ok(ran, "%s: %s: stock", ts_proto_name(proto), way->name))
            decides(stock, 0);
        return;
    }
    ran = run(verb, 0, NULL, shim, &out) && ran;
    snprintf(verb, sizeof(verb), "there:%zu:%d", number, (int)proto);
    ran = run(verb, 0, sessions, shim, NULL) && ran;
    if (!ts_ok(ran, "%s: %s: here and after a restart", ts_proto_name(proto), way->name))
        return;
    core(shim);
    if (ts_bind_is("stock")) {
        as_stock(stock, shim);
        return;
    }
    decides(shim, 1);
    across(shim);
    within(stock, shim);
    twin(shim);
}

int ts_contract(int argc, char **argv, const ts_way *ways, size_t n)
{
    static const char *const files[] = { "pki.pem", "state", "state.lock" };
    char dir[] = "/tmp/ticketshim-test-XXXXXX", file[80];

    if (argc > 1 && strchr(argv[1], ':') != NULL)
        return in_a_role(argv[1], ways, n);
    if (mkdtemp(dir) == NULL || setenv(DIR, dir, 1) != 0)
        ts_bail("cannot make a directory");
    ts_expect_core_unused(); /* that is for the other processes */
    ts_contract_pki(dir, 1);
    for (size_t i = 0; i < n; i++) {
        way = &ways[i];
        for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
            proto = *p;
            if ((way->protos == 0 || way->protos & TS_ON(*p))
                && (argc < 2 || strstr(way->name, argv[1]) != NULL))
                judge(i);
        }
    }
    ts_contract_pki_free();
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(file, sizeof(file), "%s/%s", dir, files[i]);
        unlink(file);
    }
    if (rmdir(dir) != 0)
        ts_diag("left behind: %s", dir);
    return ts_done();
}
