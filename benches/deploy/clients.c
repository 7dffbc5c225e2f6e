/*
 * Many TLS clients that keep a ticket each and come back. One thread, sockets that do not block.
 *
 *   clients N FLIGHT 1.2|1.3 [CERT KEY]
 *
 * Orders, a line each, on standard input:
 *
 *   PORT          all N clients visit 127.0.0.1:PORT once, at most FLIGHT of them at a time; each offers the ticket
 *                 that it has, if any, asks for a page, and keeps the newest ticket it was given
 *   PORT SECONDS  clients go round for so long, one visit after the other
 *
 * The answer to each is a line of JSON: visits, resumed, full, failed, seconds, and by when (seconds since the order) half of the visits,
 * 99 of 100 and all had their handshake behind them. A visit that failed is not repeated.
 *
 * The library under test is never loaded here: it is the servers' side that is measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

struct visit {
    SSL *ssl;
    int client;
    int asked;
    double since;
};

struct outcome {
    int begun, ended, resumed, full, failed;
    double *in; /* when each handshake was done, seconds since the order */
    int in_room;
};

static SSL_CTX *ctx;
static SSL_SESSION **sessions;
static char *visiting; /* two visits of one client at a time would take its ticket from each other */
static int clients, flight, polled;
static const char request[] = "GET / HTTP/1.0\r\nHost: deploy.example\r\n\r\n";

static void fail(const char *what)
{
    fprintf(stderr, "clients: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(2);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct visit *visit = SSL_get_app_data(ssl);
    SSL_SESSION_free(sessions[visit->client]);
    sessions[visit->client] = session;
    return 1;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void begin(struct visit *visit, int client, int port, double start, struct outcome *outcome)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = visit};

    if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS))
        fail("connect");
    *visit = (struct visit){.ssl = SSL_new(ctx), .client = client, .since = start};
    if (visit->ssl == NULL || SSL_set_fd(visit->ssl, fd) != 1 || SSL_set_tlsext_host_name(visit->ssl, "deploy.example") != 1)
        fail("SSL_new");
    SSL_set_app_data(visit->ssl, visit);
    SSL_set_connect_state(visit->ssl);
    if (sessions[client] != NULL && SSL_set_session(visit->ssl, sessions[client]) != 1)
        fail("SSL_set_session");
    if (epoll_ctl(polled, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl");
    visiting[client] = 1;
    outcome->begun++;
}

static void end(struct visit *visit, int failed, struct outcome *outcome)
{
    int fd = SSL_get_fd(visit->ssl);
    visiting[visit->client] = 0;
    outcome->ended++;
    outcome->failed += failed;
    /* A session whose connection did not end well may not be offered again otherwise. */
    SSL_set_quiet_shutdown(visit->ssl, 1);
    SSL_shutdown(visit->ssl);
    SSL_free(visit->ssl);
    close(fd);
    visit->ssl = NULL;
}

/* Goes on with a visit as far as it goes. Whether it is over. */
static int go_on(struct visit *visit, struct outcome *outcome)
{
    char page[4096];
    int got;

    if (!visit->asked) {
        ERR_clear_error();
        if ((got = SSL_do_handshake(visit->ssl)) != 1) {
            got = SSL_get_error(visit->ssl, got);
            if (got == SSL_ERROR_WANT_READ || got == SSL_ERROR_WANT_WRITE)
                return 0;
            end(visit, 1, outcome);
            return 1;
        }
        if (SSL_write(visit->ssl, request, sizeof request - 1) != sizeof request - 1) {
            end(visit, 1, outcome);
            return 1;
        }
        visit->asked = 1;
        if (SSL_session_reused(visit->ssl))
            outcome->resumed++;
        else
            outcome->full++;
        if (outcome->resumed + outcome->full > outcome->in_room) {
            outcome->in_room = 2 * outcome->in_room + 1024;
            if ((outcome->in = realloc(outcome->in, sizeof *outcome->in * (size_t)outcome->in_room)) == NULL)
                fail("realloc");
        }
        outcome->in[outcome->resumed + outcome->full - 1] = now() - visit->since;
    }
    ERR_clear_error();
    while ((got = SSL_read(visit->ssl, page, sizeof page)) > 0)
        continue;
    if (SSL_get_error(visit->ssl, got) == SSL_ERROR_WANT_READ)
        return 0;
    end(visit, 0, outcome);
    return 1;
}

static struct outcome order(int port, double seconds)
{
    struct outcome outcome = {0};
    struct visit *visits = calloc((size_t)flight, sizeof *visits);
    struct epoll_event events[256];
    double start = now(), last = start;
    int next = 0;

    if (visits == NULL)
        fail("calloc");
    for (;;) {
        for (int i = 0; i < flight; i++) {
            int more = seconds > 0 ? now() - start < seconds : outcome.begun < clients;
            if (visits[i].ssl == NULL && more && !visiting[next % clients])
                begin(&visits[i], next++ % clients, port, start, &outcome);
        }
        if (outcome.begun == outcome.ended)
            break;
        int count = epoll_wait(polled, events, 256, 1000);
        if (count > 0)
            last = now();
        else if (now() - last > 60)
            fail("the server has not answered for a minute");
        for (int i = 0; i < count; i++) {
            struct visit *visit = events[i].data.ptr;
            if (visit->ssl != NULL)
                go_on(visit, &outcome);
        }
    }
    free(visits);
    return outcome;
}

int main(int argc, char **argv)
{
    char line[64];
    int version;

    if (argc != 4 && argc != 6) {
        fprintf(stderr, "usage: clients N FLIGHT 1.2|1.3 [CERT KEY]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    clients = atoi(argv[1]);
    flight = atoi(argv[2]);
    version = strcmp(argv[3], "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    sessions = calloc((size_t)clients, sizeof *sessions);
    visiting = calloc((size_t)clients, 1);
    ctx = SSL_CTX_new(TLS_client_method());
    polled = epoll_create1(EPOLL_CLOEXEC);
    if (clients < 1 || flight < 1 || flight > clients || sessions == NULL || visiting == NULL || ctx == NULL || polled < 0)
        fail("start");
    if (SSL_CTX_set_min_proto_version(ctx, version) != 1 || SSL_CTX_set_max_proto_version(ctx, version) != 1)
        fail("version");
    if (argc == 6 && (SSL_CTX_use_certificate_file(ctx, argv[4], SSL_FILETYPE_PEM) != 1 || SSL_CTX_use_PrivateKey_file(ctx, argv[5], SSL_FILETYPE_PEM) != 1))
        fail(argv[4]);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_ticket);

    while (fgets(line, sizeof line, stdin) != NULL) {
        double seconds = 0, begun = now();
        int port = 0, done;
        if (sscanf(line, "%d %lf", &port, &seconds) < 1)
            fail("an order is PORT [SECONDS]");
        struct outcome o = order(port, seconds);
        done = o.resumed + o.full;
        if (done > 0)
            qsort(o.in, (size_t)done, sizeof *o.in, ascending);
        printf("{\"visits\": %d, \"resumed\": %d, \"full\": %d, \"failed\": %d, \"seconds\": %.6f, \"half\": %.6f, \"most\": %.6f, \"all\": %.6f}\n", o.ended,
               o.resumed, o.full, o.failed, now() - begun, done ? o.in[(done - 1) / 2] : 0, done ? o.in[(done - 1) * 99 / 100] : 0, done ? o.in[done - 1] : 0);
        fflush(stdout);
        free(o.in);
    }
    return 0;
}
