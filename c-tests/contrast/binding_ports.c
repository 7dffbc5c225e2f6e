/*
 * binding_ports.c: one context to start on, at two ports of the loopback
 * interface. Under one name, the first port is open and the second demands a
 * certificate (as nginx's one default server on two ports). Each ticket
 * resumes at the port that gave it, and nobody is cut off.
 */
#define _DEFAULT_SOURCE /* usleep() */
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ts.h"

#define NAME "shop.example"
#define ROUNDS 4

static ts_cert *ca, *guest;
static SSL_CTX *open_host, *shop;
static int listener[2], port[2];

static int port_of(int fd)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);

    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        ts_bail("no address");
    return ntohs(at.sin_port);
}

/* Which host it is, the port says. */
static int by_port(SSL *ssl, int *al, void *arg)
{
    SSL_CTX *ctx = port_of(SSL_get_fd(ssl)) == port[0] ? open_host : shop;

    (void)al;
    (void)arg;
    SSL_set_SSL_CTX(ssl, ctx);
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), NULL);
    return SSL_TLSEXT_ERR_OK;
}

static void listen_at(int i)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    listener[i] = socket(AF_INET, SOCK_STREAM, 0);
    if (listener[i] < 0 || bind(listener[i], (struct sockaddr *)&at, sizeof(at)) != 0
        || listen(listener[i], 1) != 0)
        ts_bail("cannot listen");
    port[i] = port_of(listener[i]);
}

static int new_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION **newest = SSL_get_app_data(ssl);

    SSL_SESSION_free(*newest);
    *newest = session;
    return 1;
}

/* One connection to a port, with what `*session` holds; the newest session is there then. What became of it. */
static const char *visit(SSL_CTX *srv, SSL_CTX *cli, int i, SSL_SESSION **session)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((in_port_t)port[i]),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int there = socket(AF_INET, SOCK_STREAM, 0), here;
    SSL *client = SSL_new(cli), *server = SSL_new(srv);
    SSL_SESSION *newest = NULL;
    const char *fate = "failed";
    char byte;

    if (connect(there, (struct sockaddr *)&at, sizeof(at)) != 0
        || (here = accept(listener[i], NULL, NULL)) < 0)
        ts_bail("cannot connect");
    fcntl(there, F_SETFL, O_NONBLOCK);
    fcntl(here, F_SETFL, O_NONBLOCK);
    SSL_set_app_data(client, &newest);
    SSL_set_tlsext_host_name(client, NAME);
    SSL_set_fd(client, there);
    SSL_set_fd(server, here);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    if (*session != NULL)
        SSL_set_session(client, *session);
    for (int tries = 0; tries < 10000; tries++) {
        int a = SSL_do_handshake(client), b = SSL_do_handshake(server);

        if ((a != 1 && SSL_get_error(client, a) != SSL_ERROR_WANT_READ)
            || (b != 1 && SSL_get_error(server, b) != SSL_ERROR_WANT_READ))
            break;
        if (a == 1 && b == 1) {
            /* TLS 1.3: its tickets come now, and have come once this byte has. */
            SSL_write(server, "x", 1);
            while (SSL_read(client, &byte, 1) != 1 && tries++ < 10000)
                usleep(100);
            fate = SSL_session_reused(server) ? "resumed" : "full";
            break;
        }
        usleep(100);
    }
    ERR_clear_error();
    if (newest != NULL) {
        SSL_SESSION_free(*session);
        *session = newest;
    }
    SSL_shutdown(client);
    SSL_free(client);
    SSL_free(server);
    close(here);
    close(there);
    return fate;
}

static void two_ports(ts_proto p)
{
    const ts_place demands = { .client_ca = ca };
    SSL_CTX *first = ts_server_ctx(p), *cli = ts_client_with(p, guest);
    SSL_SESSION *session[2] = { NULL, NULL };
    struct ticketshim_stats old, now;
    int resumed = 0;

    open_host = ts_server_ctx(p);
    shop = ts_place_new(p, &demands);
    SSL_CTX_set_tlsext_servername_callback(first, by_port);
    SSL_CTX_sess_set_new_cb(cli, new_session);
    ts_stats(&old);
    for (int i = 0; i < 2; i++)
        ts_is_str(visit(first, cli, i, &session[i]), "full", "%s: port %d for the first time",
                  ts_proto_name(p), i + 1);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < 2; i++)
            resumed += strcmp(visit(first, cli, i, &session[i]), "resumed") == 0;
    ts_stats(&now);
    ts_is_int(resumed, 2 * ROUNDS, "… and both resume, in turn");
    if (ts_shim_expected()) {
        ts_is_int((int)(now.opened - old.opened), 2 * ROUNDS, "… by tickets of ours");
        ts_is_int((int)(now.ended - old.ended), 0, "… nobody was cut off");
        ts_is_int((int)(now.refused_policy - old.refused_policy), 0, "… each was known");
    }
    ts_expect_core_min(2, 2 * ROUNDS);
    for (int i = 0; i < 2; i++)
        SSL_SESSION_free(session[i]);
    SSL_CTX_free(first);
    SSL_CTX_free(open_host);
    SSL_CTX_free(shop);
    SSL_CTX_free(cli);
}

int main(void)
{
    ca = ts_cert_new("client CA", NULL, TS_CERT_CA);
    guest = ts_cert_new("guest", ca, 0);
    for (int i = 0; i < 2; i++)
        listen_at(i);
    two_ports(TS_TLS12);
    two_ports(TS_TLS13);
    for (int i = 0; i < 2; i++)
        close(listener[i]);
    ts_cert_free(ca);
    ts_cert_free(guest);
    return ts_done();
}
