/*
 * storm.c: clients that resume at a server without a pause, for a while.
 *
 *   storm PORT SECONDS THREADS NAME
 *
 * Threads of TLS 1.2 and 1.3 in turn; each makes a connection, sends a request,
 * reads an answer, and comes back with the newest ticket it has. Every
 * sixteenth time it comes without one. One line of "name=number" when it ends:
 * connections, full, resumed, offered (came with a ticket); and those that were
 * not completed, by what the client saw:
 *
 *   refused   nobody was listening
 *   gone      the connection ended or was reset without a word: as when a
 *             worker is killed
 *   alert     the server ended it with an alert, or sent what is not TLS
 *   late      no answer within 20 seconds
 *
 * and `slowest`, the longest connection in milliseconds. What was an alert is
 * on stderr.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

typedef struct client {
    int version, port;
    const char *name;
    time_t end;
    SSL_SESSION *newest;
    long connections, full, resumed, offered, refused, gone, alert, late;
    double slowest;
} client;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    client *c = SSL_get_app_data(ssl);

    if (!SSL_SESSION_has_ticket(session))
        return 0;
    SSL_SESSION_free(c->newest);
    c->newest = session;
    return 1;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What a call that failed says about the connection. */
static void why(client *c, SSL *ssl, int ret)
{
    int error = SSL_get_error(ssl, ret), reason = ERR_GET_REASON(ERR_peek_error());

    if (error == SSL_ERROR_SYSCALL && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        c->late++;
    } else if (error == SSL_ERROR_SYSCALL || error == SSL_ERROR_ZERO_RETURN
               || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        c->gone++;
    } else {
        c->alert++;
        fprintf(stderr, "TLS %s: %s\n", c->version == TLS1_3_VERSION ? "1.3" : "1.2",
                ERR_reason_error_string(ERR_peek_error()));
    }
}

static void visit(client *c, SSL_CTX *ctx)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)c->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { .tv_sec = 20 };
    /* Or ports are used up by connections that are waiting to be forgotten. */
    struct linger at_once = { .l_onoff = 1 };
    char answer[2048];
    double start = now(), took;
    int fd = socket(AF_INET, SOCK_STREAM, 0), ret, one = 1;
    SSL *ssl;

    c->connections++;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        c->refused++;
        close(fd);
        return;
    }
    ssl = SSL_new(ctx);
    SSL_set_app_data(ssl, c);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, c->name);
    if (c->newest != NULL && c->connections % 16 != 0) {
        SSL_set_session(ssl, c->newest);
        c->offered++;
    }
    ERR_clear_error();
    errno = 0;
    if ((ret = SSL_connect(ssl)) != 1 || (ret = SSL_write(ssl, request, sizeof(request) - 1)) <= 0
        || (ret = SSL_read(ssl, answer, sizeof(answer))) <= 0) {
        why(c, ssl, ret);
    } else {
        if (SSL_session_reused(ssl))
            c->resumed++;
        else
            c->full++;
        if (c->version == TLS1_2_VERSION) {
            SSL_SESSION *session = SSL_get1_session(ssl);

            if (on_session(ssl, session) == 0)
                SSL_SESSION_free(session);
        }
        SSL_shutdown(ssl);
    }
    took = (now() - start) * 1000;
    if (took > c->slowest)
        c->slowest = took;
    SSL_free(ssl);
    close(fd);
}

static void *run(void *arg)
{
    client *c = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    SSL_CTX_set_min_proto_version(ctx, c->version);
    SSL_CTX_set_max_proto_version(ctx, c->version);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (c->version == TLS1_3_VERSION)
        SSL_CTX_sess_set_new_cb(ctx, on_session);
    while (time(NULL) < c->end)
        visit(c, ctx);
    SSL_SESSION_free(c->newest);
    SSL_CTX_free(ctx);
    return NULL;
}

int main(int argc, char **argv)
{
    enum { MOST = 64 };
    static client clients[MOST], sum;
    pthread_t threads[MOST];
    int n;

    if (argc < 5 || (n = atoi(argv[3])) < 1 || n > MOST)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < n; i++) {
        clients[i].version = i % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
        clients[i].port = atoi(argv[1]);
        clients[i].end = time(NULL) + atoi(argv[2]);
        clients[i].name = argv[4];
        if (pthread_create(&threads[i], NULL, run, &clients[i]) != 0)
            return 2;
    }
    for (int i = 0; i < n; i++) {
        const client *c = &clients[i];

        pthread_join(threads[i], NULL);
        sum.connections += c->connections;
        sum.full += c->full;
        sum.resumed += c->resumed;
        sum.offered += c->offered;
        sum.refused += c->refused;
        sum.gone += c->gone;
        sum.alert += c->alert;
        sum.late += c->late;
        if (c->slowest > sum.slowest)
            sum.slowest = c->slowest;
    }
    printf("connections=%ld full=%ld resumed=%ld offered=%ld refused=%ld gone=%ld alert=%ld late=%ld slowest=%.0f\n",
           sum.connections, sum.full, sum.resumed, sum.offered, sum.refused, sum.gone, sum.alert, sum.late, sum.slowest);
    return 0;
}
