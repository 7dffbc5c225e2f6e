/*
 * resume.c: the smallest scenario, and the one to copy from. A full handshake
 * brings tickets, a ticket resumes, a ticket nobody knows is a full handshake.
 */
#include "ts.h"

int main(void)
{
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++) {
        const char *name = ts_proto_name(*p);
        SSL_CTX *srv = ts_server_ctx(*p), *cli = ts_client_ctx(*p);
        SSL_SESSION *ss, *bad;
        ts_conn *c;

        c = ts_connect(srv, cli, NULL);
        ts_is_str(ts_outcome(c), *p == TS_TLS13 ? "full, 2 tickets"
                  : "full, 1 ticket", "%s: full handshake", name);
        ss = ts_session(c);
        ts_conn_free(c);

        c = ts_connect(srv, cli, ss);
        ts_is_str(ts_outcome(c), *p == TS_TLS13 ? "resumed, 1 ticket"
                  : "resumed, 0 tickets", "%s: the ticket resumes", name);
        ts_conn_free(c);

        bad = ts_with_flip(ss, 0, 0x01); /* the key name begins here */
        c = ts_connect(srv, cli, bad);
        ts_is_str(ts_outcome(c), *p == TS_TLS13 ? "full, 2 tickets"
                  : "full, 1 ticket", "%s: an unknown key does not", name);
        ts_conn_free(c);

        ts_expect_core(*p == TS_TLS13 ? 5 : 2, 1);
        ts_expect_refused(1, 0, 0);
        SSL_SESSION_free(bad);
        SSL_SESSION_free(ss);
        SSL_CTX_free(srv);
        SSL_CTX_free(cli);
    }
    return ts_done();
}
