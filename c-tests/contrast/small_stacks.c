/*
 * small_stacks.c: a server on a coroutine's stack. How much of it each kind of
 * handshake takes beside stock, that 16 KiB (or 24, …) are enough where they are
 * without the library, and that no key is left on it.
 *
 * The program runs itself: each case is measured in a process without the
 * library and in one with it. Only the server's calls are made on the stack,
 * which was painted before.
 */
#define _GNU_SOURCE /* mkdtemp, MAP_ANONYMOUS, MAP_STACK */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "known_secrets.h"
#include "stacks.h"

/* What a handshake may take more than stock, in bytes. */
#define MORE 4096

static ts_stack stack;

static size_t left_on_stack(void)
{
    size_t n = 0;

    for (size_t i = stack.size - ts_stack_used(&stack); i + HALF <= stack.size; i++) {
        struct half *known, seen;

        memcpy(seen.bytes, stack.base + i, HALF);
        known = bsearch(&seen, halves, n_halves, sizeof(seen), compare);
        if (known != NULL) {
            n++;
            fprintf(stderr, "left on the stack: half of the %s of epoch %llu, %zu bytes deep\n",
                    known->of, known->epoch, stack.size - i);
        }
    }
    return n;
}

/* ---- the cases ------------------------------------------------------------------------ */

#define CASES 32
static char case_name[CASES][48];
static size_t case_used[CASES], case_left[CASES];
static int n_cases;

static void case_end(const char *proto, const char *name)
{
    if (n_cases == CASES)
        ts_bail("too many cases");
    snprintf(case_name[n_cases], sizeof(case_name[0]), "%s %s", proto, name);
    case_used[n_cases] = ts_stack_used(&stack);
    case_left[n_cases] = left_on_stack();
    n_cases++;
    ts_stack_paint(&stack);
}

static void do_handshake(void *ssl)
{
    (void)SSL_do_handshake(ssl);
}

/* As ts_connect(), with the server on the stack. */
static ts_conn *connect(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer, const char *name)
{
    ts_conn *c = ts_conn_new(srv, cli, offer);

    if (name != NULL && SSL_set_tlsext_host_name(c->client.ssl, name) != 1)
        ts_bail("no server name");
    for (int i = 0; i < 6; i++) {
        (void)SSL_do_handshake(c->client.ssl);
        ts_on_stack(&stack, do_handshake, c->server.ssl);
    }
    ts_conn_handshake(c);
    return c;
}

static void once(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer, const char *name,
                 const char *proto, const char *what)
{
    ts_conn *c = connect(srv, cli, offer, name);

    if (!c->established)
        ts_bail("%s %s: %s", proto, what, ts_outcome(c));
    case_end(proto, what);
    ts_conn_free(c);
}

/* Until the next second, in which there are other keys and the file is looked at. */
static void next_second(void)
{
    time_t now = time(NULL);

    /* Stock has neither. */
    while (ts_shim_loaded() && time(NULL) == now)
        usleep(5000);
}

struct context {
    const SSL_METHOD *method;
    SSL_CTX *made;
};

static void make_context(void *arg)
{
    struct context *c = arg;

    c->made = SSL_CTX_new(c->method);
}

static void leave_something(void *arg)
{
    volatile unsigned char copy[32];

    (void)arg;
    for (int i = 0; i < 16; i++)
        copy[i] = halves[3].bytes[i];
    (void)copy[0];
}

static void measure_proto(ts_proto proto, const char *state)
{
    const char *p = ts_proto_name(proto);
    struct context context = { TLS_server_method(), NULL };
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss, *bad;
    size_t len;
    ts_conn *c;
    FILE *f;

    /* Longer than keys open: the first ticket has a line on stderr. */
    SSL_CTX_set_timeout(srv, 7200);
    once(srv, cli, NULL, NULL, p, "full, the first");
    c = connect(srv, cli, NULL, "a.test");
    ss = ts_session(c);
    case_end(p, "full");
    ts_conn_free(c);
    once(srv, cli, ss, "a.test", p, "resumed");
    next_second();
    once(srv, cli, ss, "a.test", p, "resumed, first of an epoch");
    next_second();
    once(srv, cli, NULL, "b.test", p, "full, first of an epoch");
    once(srv, cli, ss, "b.test", p, "refused: for another name");
    (void)ts_ticket(ss, &len);
    bad = ts_with_flip(ss, len - 1, 1);
    once(srv, cli, bad, "a.test", p, "refused: altered");
    SSL_SESSION_free(bad);
    bad = ts_with_flip(ss, 3, 1);
    once(srv, cli, bad, "a.test", p, "refused: unknown");
    SSL_SESSION_free(bad);
    state_write(state, (unsigned char)(40 + proto), 0);
    know_all();
    next_second();
    once(srv, cli, ss, "a.test", p, "resumed, and the state file is another");
    f = fopen(state, "w");
    if (f == NULL || fputs("this is no state file\n", f) < 0 || fclose(f) != 0)
        ts_bail("cannot write %s", state);
    next_second();
    once(srv, cli, ss, "a.test", p, "resumed, and the state file is none");
    state_write(state, (unsigned char)(50 + proto), 0);
    know_all();
    ts_on_stack(&stack, make_context, &context);
    case_end(p, "a context");
    SSL_CTX_free(context.made);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

/*
 * A process: measures on a stack of that size, and writes down what it found. With
 * "made" there is a state file already, which the first context advances.
 */
static int measure(const char *role)
{
    int made = strstr(role, "made") != NULL;
    struct ticketshim_stats stats;
    struct context context = { TLS_server_method(), NULL };
    const char *state = getenv("TICKETSHIM_STATE");
    char text[CASES * 100], *end = text;
    size_t control;

    ts_server_cert();
    stack = ts_stack_new((size_t)atol(role));
    ts_stack_paint(&stack);
    if (made)
        state_known(state);
    ts_on_stack(&stack, make_context, &context);
    case_end("TLS", made ? "the first context, which advances the file" : "the first context");
    SSL_CTX_free(context.made);
    if (!made)
        state_write(state, 7, 1);
    know_all();
    next_second();
    for (const ts_proto *proto = ts_tls_protos; !made && *proto != TS_PROTO_END; proto++)
        measure_proto(*proto, state);
    ts_on_stack(&stack, leave_something, NULL);
    control = left_on_stack();
    ts_stats(&stats);
    end += sprintf(end, "%d %llu %llu %zu\n", ts_shim_loaded(),
                   (unsigned long long)stats.sealed, (unsigned long long)stats.opened,
                   control);
    for (int i = 0; i < n_cases; i++)
        end += sprintf(end, "%zu %zu %s\n", case_used[i], case_left[i], case_name[i]);
    ts_child_output(text, (size_t)(end - text));
    return 0;
}

/* ---- beside stock ------------------------------------------------------------------------ */

struct found {
    unsigned long long sealed, opened;
    int loaded, cases, exit_code, said;
    size_t control, most;
    size_t used[CASES], left[CASES];
    char name[CASES][48], err[4000];
};

/* What the library says in the cases; each shows that the case is one. */
static const char *const lines[] = {
    "made the state file", "session timeout", "the state file is of generation",
    "state file refused", "advanced the state file",
};
#define LINES (int)(sizeof(lines) / sizeof(lines[0]))
#define SAID_ALL 15
#define SAID_ADVANCED 16

/*
 * Where the most is compared, all functions are bound before: the loader takes
 * some three KiB, and leaves the processor's registers on the stack.
 */
static void run(struct found *found, const char *role, int stock)
{
    int made = strstr(role, "made") != NULL;
    char dir[] = "/tmp/ticketshim-stack.XXXXXX", state[64], stats[64], file[64];
    const char *env[] = { state, stats, atol(role) > 64 * 1024 ? "LD_BIND_NOW=1" : "TS_LAZY=1", "TICKETSHIM_LOG=info", "TICKETSHIM_ROTATE=1s",
                          "TICKETSHIM_ACCEPT=60s", NULL };
    ts_child child = { .role = role, .stock = stock, .env = env, .keep_stderr = 1 };
    char *line;

    memset(found, 0, sizeof(*found));
    if (mkdtemp(dir) == NULL)
        ts_bail("no directory");
    snprintf(state, sizeof(state), "TICKETSHIM_STATE=%s/state", dir);
    snprintf(stats, sizeof(stats), "TICKETSHIM_STATS=%s/stats", dir);
    if (made)
        state_write(state + strlen("TICKETSHIM_STATE="), 7, 1);
    ts_child_run(&child);
    found->exit_code = child.exit_code;
    if (child.exit_code != 0)
        ts_diag("%s%s", child.out, child.err);
    for (int i = 0; i < LINES; i++)
        found->said |= (strstr(child.err, lines[i]) != NULL) << i;
    snprintf(found->err, sizeof(found->err), "%s", child.err);
    line = strtok((char *)child.out, "\n");
    if (line != NULL)
        sscanf(line, "%d %llu %llu %zu", &found->loaded, &found->sealed,
               &found->opened, &found->control);
    while (line != NULL && (line = strtok(NULL, "\n")) != NULL && found->cases < CASES) {
        int i = found->cases++;

        if (sscanf(line, "%zu %zu %47[^\n]", &found->used[i], &found->left[i],
                   found->name[i]) != 3)
            ts_bail("cannot read \"%s\"", line);
        if (found->used[i] > found->most)
            found->most = found->used[i];
    }
    ts_child_free(&child);
    static const char *const names[] = { "state", "stats", "state.new" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(file, sizeof(file), "%s/%s", dir, names[i]);
        unlink(file);
    }
    rmdir(dir);
}

/* The same cases without the library and with it. */
static void beside_stock(const char *role, int said)
{
    static struct found stock, ours;
    size_t left = 0;

    run(&stock, role, 1);
    ts_is_int(stock.exit_code, 0, "%s: without the library", role);
    ts_ok(stock.cases > 0, "… there are cases");
    ts_diag("stock: at most %zu bytes", stock.most);
    if (!ts_shim_expected())
        return;
    run(&ours, role, 0);
    ts_is_int(ours.exit_code, 0, "%s: with the library", role);
    ts_is_int(ours.loaded, 1, "… which is there");
    ts_is_int(ours.said & said, said, "… and says what each case is about");
    ts_is_int(ours.cases, stock.cases, "… in the same cases");
    ts_diag("with the library: at most %zu bytes", ours.most);
    for (int i = 0; i < ours.cases && i < stock.cases; i++) {
        ts_diag("%-46s stock %6zu, with the library %6zu", ours.name[i], stock.used[i],
                ours.used[i]);
        ts_ok(ours.used[i] <= stock.used[i] + MORE, "%s: at most %d bytes more than stock",
              ours.name[i], MORE);
        left += ours.left[i];
        ts_is_int((long)ours.left[i], 0, "%s: no key is left on the stack", ours.name[i]);
    }
    if (left > 0)
        ts_diag("%s", ours.err);
    ts_ok(ours.control > 0, "control: what is left there is found");
    if (said == SAID_ALL)
        ts_ok(ours.sealed > 20 && ours.opened > 5, "… it seals and opens (%llu, %llu)",
              ours.sealed, ours.opened);
}

/*
 * Where there is nothing below but a page that ends the process: what fits there
 * without the library, with MORE to spare, fits with it.
 */
static int on(size_t size)
{
    static struct found stock, ours;
    char role[32];

    snprintf(role, sizeof(role), "%zu", size);
    run(&stock, role, 1);
    if (stock.exit_code != 0 || stock.most + MORE > size) {
        ts_diag("on a stack of %zu bytes: stock needs %s, so nothing is tried", size,
                stock.exit_code != 0 ? "more" : "almost all of it");
        return 0;
    }
    ts_diag("on a stack of %zu bytes stock takes %zu", size, stock.most);
    ts_ok(stock.cases > 0, "on a stack of %zu bytes without the library", size);
    if (!ts_shim_expected())
        return 1;
    run(&ours, role, 0);
    ts_is_int(ours.exit_code, 0, "on a stack of %zu bytes with the library", size);
    ts_is_int(ours.cases, stock.cases, "… in the same cases");
    ts_ok(ours.sealed > 20 && ours.opened > 5, "… it seals and opens (%llu, %llu)",
          ours.sealed, ours.opened);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return measure(argv[1]);
    ts_expect_core_unused();
    beside_stock("262144", SAID_ALL);
    beside_stock("262144 made", SAID_ADVANCED);
    /* What boost.context and libtask give; with ML-KEM stock takes more. */
    for (size_t size = 16 * 1024; size <= 48 * 1024 && !on(size); size += 8 * 1024)
        ;
    return ts_done();
}
