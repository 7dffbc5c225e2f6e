/*
 * locale.c: a program that sets a locale of its own, in which i is not the small I
 * and numbers have a comma (tr_TR.UTF-8, made here by localedef), before its first
 * context, and one that sets it between handshakes. Settings are read as ever.
 *
 * ts-run:
 * ts-run: TICKETSHIM_ROTATE=1h TICKETSHIM_MODE=enforce TICKETSHIM_LOG=WARN
 */
#define _GNU_SOURCE /* mkdtemp */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include "ts.h"

#define NAME "tr_TR.UTF-8"

static int make(const char *dir)
{
    char command[256];

    snprintf(command, sizeof(command),
             "env -u LD_PRELOAD localedef -i tr_TR -f UTF-8 %s/" NAME " >/dev/null 2>&1", dir);
    return system(command) == 0;
}

static void clear(const char *dir)
{
    char command[256];

    snprintf(command, sizeof(command), "env -u LD_PRELOAD rm -r %s", dir);
    if (system(command) != 0)
        ts_bail("cannot remove %s", dir);
}

static void resumes(ts_proto proto, SSL_CTX *srv, SSL_CTX *cli, const char *when)
{
    ts_conn *c = ts_connect(srv, cli, NULL);
    SSL_SESSION *ss = ts_session(c);

    ts_is_str(ts_outcome(c), ts_full(proto), "%s: %s", ts_proto_name(proto), when);
    ts_conn_free(c);
    c = ts_connect(srv, cli, ss);
    ts_is_str(ts_outcome(c), ts_resumed(proto), "… and resumed");
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    ts_expect_core(proto == TS_TLS13 ? 3 : 1, 1);
}

int main(void)
{
    char dir[] = "/tmp/ticketshim-locale-XXXXXX";
    int there;

    if (mkdtemp(dir) == NULL)
        ts_bail("no directory");
    there = make(dir) && setenv("LOCPATH", dir, 1) == 0 && setlocale(LC_ALL, NAME) != NULL;
    if (!there) {
        clear(dir);
        ts_expect_core_unused();
        ts_skip("no localedef or no sources of tr_TR (Debian: locales)", NAME);
        return ts_done();
    }
    ts_ok(towupper(L'i') == 0x130 && strcmp(localeconv()->decimal_point, ",") == 0,
          "the locale is another one");
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        SSL_CTX *srv = ts_server_ctx(*p), *cli = ts_client_ctx(*p);

        resumes(*p, srv, cli, "in " NAME);
        setlocale(LC_ALL, "C");
        resumes(*p, srv, cli, "set back to C");
        if (setlocale(LC_ALL, NAME) != NULL)
            resumes(*p, srv, cli, "and set again");
        else
            ts_ok(0, "the locale can be set again");
        SSL_CTX_free(srv);
        SSL_CTX_free(cli);
    }
    clear(dir);
    return ts_done();
}
