/*
 * client.c: one TLS connection to 127.0.0.1, and one line about it.
 *
 *   client PORT 1.2|1.3 [offer=FILE] [save=FILE] [name=SNI] [tickets=N]
 *
 * prints "resumed tickets=1 key=… salt=…" and what the server said. `key` and
 * `salt` (of the newest ticket, "-" if none came) are the two parts of a ticket
 * that are in clear. tickets=N asks server.c for so many more and prints the
 * salts of all, one a line, instead. Never preloaded with anything.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

static SSL_SESSION *newest;
static int tickets, print_salts;

static void fail(const char *what)
{
    unsigned long e = ERR_peek_last_error();

    printf("failed %s: %s\n", what, e != 0 ? ERR_reason_error_string(e) : "");
    exit(0);
}

static void hex(char *out, const unsigned char *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sprintf(out + 2 * i, "%02x", in[i]);
}

/* Each ticket of TLS 1.3 comes here. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    const unsigned char *ticket;
    char salt[33];
    size_t len;

    (void)ssl;
    if (!SSL_SESSION_has_ticket(session))
        return 0;
    tickets++;
    if (print_salts) {
        SSL_SESSION_get0_ticket(session, &ticket, &len);
        hex(salt, ticket + 16, 16);
        puts(salt);
    }
    SSL_SESSION_free(newest);
    newest = session;
    return 1;
}

/*
 * In TLS 1.2 there is one session and at most one ticket. Of a ticket that was
 * renewed libssl tells nobody: it is another one than was offered.
 */
static void look_at_session(SSL *ssl, SSL_SESSION *offered)
{
    SSL_SESSION *session = SSL_get1_session(ssl);
    const unsigned char *old = NULL, *ticket = NULL;
    size_t old_len = 0, len = 0;

    if (offered != NULL)
        SSL_SESSION_get0_ticket(offered, &old, &old_len);
    SSL_SESSION_get0_ticket(session, &ticket, &len);
    if (len != old_len || memcmp(ticket, old, len) != 0)
        on_session(ssl, session);
}

static SSL_SESSION *load(const char *name)
{
    FILE *f = fopen(name, "r");
    SSL_SESSION *session = f != NULL ? PEM_read_SSL_SESSION(f, NULL, NULL, NULL) : NULL;

    if (session == NULL)
        fail(name);
    fclose(f);
    return session;
}

static int connect_to(int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        fail("connect");
    return fd;
}

static const char *option(int argc, char **argv, const char *name)
{
    size_t n = strlen(name);

    for (int i = 3; i < argc; i++)
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
    return NULL;
}

/* The server's answer is one line; tickets come before it. */
static void read_answer(SSL *ssl, char *answer, size_t size)
{
    size_t used = 0;

    while (used == 0 || answer[used - 1] != '\n') {
        int n = SSL_read(ssl, answer + used, (int)(size - used - 1));

        if (n <= 0)
            fail("read");
        used += (size_t)n;
    }
    answer[used - 1] = '\0';
}

int main(int argc, char **argv)
{
    char answer[4096], order[32], key[33] = "-", salt[33] = "-";
    const char *offer, *save, *name, *more;
    int version;
    SSL_SESSION *offered = NULL;
    SSL_CTX *ctx;
    SSL *ssl;

    if (argc < 3)
        return 2;
    alarm(20);
    offer = option(argc, argv, "offer");
    save = option(argc, argv, "save");
    name = option(argc, argv, "name");
    more = option(argc, argv, "tickets");
    print_salts = more != NULL;
    version = strcmp(argv[2], "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (version == TLS1_3_VERSION)
        SSL_CTX_sess_set_new_cb(ctx, on_session);
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, connect_to(atoi(argv[1])));
    if (name != NULL)
        SSL_set_tlsext_host_name(ssl, name);
    if (offer != NULL) {
        offered = load(offer);
        SSL_set_session(ssl, offered);
    }
    if (SSL_connect(ssl) != 1)
        fail("handshake");
    snprintf(order, sizeof(order), "tickets %s\n", more != NULL ? more : "0");
    if (SSL_write(ssl, order, (int)strlen(order)) <= 0)
        fail("write");
    read_answer(ssl, answer, sizeof(answer));
    if (version == TLS1_2_VERSION)
        look_at_session(ssl, offered);
    SSL_shutdown(ssl);
    if (newest != NULL) {
        const unsigned char *ticket;
        size_t len;

        SSL_SESSION_get0_ticket(newest, &ticket, &len);
        hex(key, ticket, 16);
        hex(salt, ticket + 16, 16);
    }
    if (save != NULL && newest != NULL) {
        FILE *f = fopen(save, "w");

        if (f == NULL || PEM_write_SSL_SESSION(f, newest) != 1 || fclose(f) != 0)
            fail(save);
    }
    if (!print_salts)
        printf("%s tickets=%d key=%s salt=%s %s\n", SSL_session_reused(ssl) ? "resumed" : "full",
               tickets, key, salt, answer);
    return 0;
}
