/*
 * plugin.c: something that brings its own libssl into a process, as a language
 * module does. Built once for each version, with the test harness inside.
 */
#include "ts.h"

/*
 * A full handshake, and one that offers its ticket, to the same context or to
 * another with the same settings: what became of the second. With libssl alone
 * each context has keys of its own, with the core inside they share them.
 */
const char *two_resume(int another_context);
const char *two_resume(int another_context)
{
    static char text[128];
    SSL_CTX *srv = ts_server_ctx(TS_TLS12), *cli = ts_client_ctx(TS_TLS12);
    SSL_SESSION *ss = ts_fresh_session(srv, cli);
    ts_conn *c;

    if (another_context) {
        SSL_CTX_free(srv);
        srv = ts_server_ctx(TS_TLS12);
    }
    c = ts_connect(srv, cli, ss);
    snprintf(text, sizeof(text), "%s", ts_outcome(c));
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
    return text;
}
