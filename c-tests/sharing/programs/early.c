/*
 * early.c: a TLS 1.3 client with early data (0-RTT) at an HTTP server on
 * 127.0.0.1, and an attacker who replays what it sent.
 *
 *   early PORT get SESSION              a full handshake; keeps the ticket in a file
 *   early PORT send SESSION PATH FLIGHT offers it and asks for PATH in early data;
 *                                       keeps its first flight in a file
 *   early PORT replay FLIGHT N          sends such a file on N connections
 *
 * Prints "full", "resumed accepted", "resumed declined" or "full declined" (of
 * the early data), or "failed …". A client whose early data is declined asks
 * again, as clients do. An attacker can only see what the server does. Never
 * preloaded with anything.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

static void fail(const char *what)
{
    unsigned long e = ERR_peek_last_error();

    printf("failed %s: %s\n", what, e != 0 ? ERR_reason_error_string(e) : "");
    exit(0);
}

static int reach(const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port)) };
    const struct timeval patience = { .tv_sec = 20 };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        fail("connect");
    return fd;
}

static void send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        if (n <= 0)
            fail("send");
        bytes += n;
        len -= (size_t)n;
    }
}

/* What libssl wants sent; into a file as well, if there is one. */
static void flush(SSL *ssl, int fd, FILE *copy)
{
    char *bytes;
    long len = BIO_get_mem_data(SSL_get_wbio(ssl), &bytes);

    if (len <= 0)
        return;
    if (copy != NULL && fwrite(bytes, 1, (size_t)len, copy) != (size_t)len)
        fail("write");
    send_all(fd, bytes, (size_t)len);
    (void)BIO_reset(SSL_get_wbio(ssl));
}

/* Gets more from the server; 0 at the end. */
static int more(SSL *ssl, int fd)
{
    char bytes[16384];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    return n > 0 && BIO_write(SSL_get_rbio(ssl), bytes, (int)n) == (int)n;
}

static SSL_SESSION *newest;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(newest);
    newest = session;
    return 1;
}

static void visit(const char *port, const char *offer, const char *path, const char *flight)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl;
    SSL_SESSION *session;
    FILE *f;
    char request[256], answer[4096];
    int fd = reach(port), status, len;
    size_t n;

    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    ssl = SSL_new(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(ssl), -1);
    SSL_set_tlsext_host_name(ssl, "server.test");
    SSL_set_connect_state(ssl);
    len = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: server.test\r\n\r\n", path);
    if (flight != NULL) {
        if ((f = fopen(offer, "r")) == NULL || (session = PEM_read_SSL_SESSION(f, NULL, NULL, NULL)) == NULL)
            fail("no session");
        fclose(f);
        SSL_set_session(ssl, session);
        if (SSL_write_early_data(ssl, request, (size_t)len, &n) != 1)
            fail("early data");
        if ((f = fopen(flight, "w")) == NULL)
            fail("open");
        flush(ssl, fd, f);
        fclose(f);
    }
    while (SSL_do_handshake(ssl) != 1) {
        flush(ssl, fd, NULL);
        if (SSL_get_error(ssl, -1) != SSL_ERROR_WANT_READ || !more(ssl, fd))
            fail("handshake");
    }
    flush(ssl, fd, NULL);
    status = SSL_get_early_data_status(ssl);
    if (status != SSL_EARLY_DATA_ACCEPTED && SSL_write(ssl, request, len) != len)
        fail("write");
    flush(ssl, fd, NULL);
    do {
        while (SSL_read(ssl, answer, sizeof(answer)) > 0)
            ;
    } while (SSL_get_shutdown(ssl) == 0 && more(ssl, fd));
    printf("%s%s\n", SSL_session_reused(ssl) ? "resumed" : "full", flight == NULL ? ""
           : status == SSL_EARLY_DATA_ACCEPTED ? " accepted" : " declined");
    if (flight == NULL) {
        if (newest == NULL || (f = fopen(offer, "w")) == NULL || PEM_write_SSL_SESSION(f, newest) != 1)
            fail("no ticket");
        fclose(f);
    }
    close(fd);
}

static void replay(const char *port, const char *flight, int times)
{
    static char bytes[16384];
    char answer[16384];
    FILE *f = fopen(flight, "r");
    size_t len = f != NULL ? fread(bytes, 1, sizeof(bytes), f) : 0;

    if (len == 0)
        fail("no flight");
    for (int i = 0; i < times; i++) {
        int fd = reach(port);
        const struct timeval patience = { .tv_usec = 100000 };

        send_all(fd, bytes, len);
        /* Its hello, and then what it makes of the early data. */
        if (recv(fd, answer, sizeof(answer), 0) <= 0)
            fail("no hello");
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        while (recv(fd, answer, sizeof(answer), 0) > 0)
            ;
        close(fd);
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[2], "get") == 0)
        visit(argv[1], argv[3], "/first", NULL);
    else if (argc == 6 && strcmp(argv[2], "send") == 0)
        visit(argv[1], argv[3], argv[4], argv[5]);
    else if (argc == 5 && strcmp(argv[2], "replay") == 0)
        replay(argv[1], argv[3], atoi(argv[4]));
    else
        return 2;
    return 0;
}
