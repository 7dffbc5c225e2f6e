/* contract.c: every way in a table, in processes of its own, held to three rules. See contract.h. */
#define _GNU_SOURCE /* mkdtemp, setenv */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include "contract_visits.h"

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

static const ts_way *way;
static ts_proto proto;

/* ---- the first process: runs the others, and judges -------------------------------- */

/* One of them, and what it wrote. `in` is handed on to it; its sessions are in *out. */
static int run(const char *verb, int stock, const char *in, ts_visit *v, char **out)
{
    char role[32], dir[256], state[280];
    const char *env[] = { dir, state, NULL };
    ts_child c = { .role = role, .stock = stock, .env = env, .in = in,
        .in_len = in != NULL ? strlen(in) : 0 };
    int n, at;

    snprintf(role, sizeof(role), "%s", verb);
    snprintf(dir, sizeof(dir), TS_CONTRACT_DIR "=%s", getenv(TS_CONTRACT_DIR));
    snprintf(state, sizeof(state), "TICKETSHIM_STATE=%s/state", getenv(TS_CONTRACT_DIR));
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

static int is(const ts_visit *v, int n, const char *fate)
{
    return strcmp(v[n].fate, fate) == 0;
}

static char wrong[2048];

/* Writes down what is not as it must be. */
static void want(const ts_visit *v, int n, const char *fate, int full_will_do)
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

static void across(const ts_visit *v)
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

static void within(const ts_visit *stock, const ts_visit *v)
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

static void twin(const ts_visit *v)
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
static void decides(const ts_visit *v, int restarted)
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
static void core(const ts_visit *v)
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
static void as_stock(const ts_visit *stock, const ts_visit *v)
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
    static ts_visit stock[N_VISITS], shim[N_VISITS];
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
        return ts_contract_role(argv[1], ways, n);
    if (mkdtemp(dir) == NULL || setenv(TS_CONTRACT_DIR, dir, 1) != 0)
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
