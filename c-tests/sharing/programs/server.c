/*
 * server.c: a TLS server as daemons are: it forks workers, drops its rights,
 * moves into a chroot, replaces itself by exec with its listening socket kept.
 * It knows nothing of tickets but what libssl does by default.
 *
 *   server CERT KEY [workers=N] [timeout=S] [sid=TEXT] [own-keys=1] [first=drop|chroot:DIR]
 *          [listen=FD] [image=N]
 *
 * prints "port=… pid=…" for itself and for each worker. Every process has a
 * port of its own, so that whoever connects knows to whom. A connection that
 * does not begin as TLS is an order, one line, answered by one:
 *
 *   stats     the shim's counters ("none" without the shim)
 *   fork      another worker
 *   context   make an SSL_CTX and serve with it from now on, as after a reload
 *   drop      be nobody
 *   chroot D  move into the directory D
 *   exec      be replaced by this program again
 *
 * No process outlives the one that started it, nor two minutes.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT, setresuid() */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define NOBODY 65534

static struct {
    char **argv;
    const char *cert, *key, *sid, *own_keys;
    long timeout;
    int image;
    int listener, port;
    SSL_CTX *ctx;
} me = { .sid = "sharing" };

static void die(const char *what)
{
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void make_context(void)
{
    /* Raw keys of the application's: names, MAC key and AES key in a row. */
    static unsigned char keys[80] = "application's own";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    /* From the one before, if there is: in a chroot there are no files. */
    if (ctx == NULL
        || (me.ctx != NULL ? SSL_CTX_use_certificate(ctx, SSL_CTX_get0_certificate(me.ctx))
            : SSL_CTX_use_certificate_file(ctx, me.cert, SSL_FILETYPE_PEM)) != 1
        || (me.ctx != NULL ? SSL_CTX_use_PrivateKey(ctx, SSL_CTX_get0_privatekey(me.ctx))
            : SSL_CTX_use_PrivateKey_file(ctx, me.key, SSL_FILETYPE_PEM)) != 1
        || SSL_CTX_set_session_id_context(ctx, (const unsigned char *)me.sid,
                                          (unsigned int)strlen(me.sid)) != 1)
        die("context");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (me.timeout > 0)
        SSL_CTX_set_timeout(ctx, me.timeout);
    if (me.own_keys != NULL && SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof(keys)) != 1)
        die("own keys");
    SSL_CTX_free(me.ctx);
    me.ctx = ctx;
}

static int new_listener(int *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 64) != 0
        || getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        die("listen");
    *port = ntohs(at.sin_port);
    return fd;
}

static void be_bounded(void)
{
    alarm(120);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void serve(void) __attribute__((noreturn));

/* A worker with a port of its own; says which in `answer`. */
static void fork_worker(char *answer, size_t size)
{
    int port, fd = new_listener(&port);
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (pid == 0) {
        be_bounded();
        close(me.listener);
        me.listener = fd;
        me.port = port;
        serve();
    }
    close(fd);
    snprintf(answer, size, "port=%d pid=%d", port, (int)pid);
}

static void stats(char *answer, size_t size)
{
    /* In the order of include/ticketshim.h. */
    static const char *const names[] = {
        "attached", "detached", "sealed", "opened", "renewed", "unknown_key", "expired", "bad_mac",
        "binding", "too_old", "malformed", "no_sid_ctx", "failures", "policy", "ended"
    };
    enum { COUNT = sizeof(names) / sizeof(names[0]) };
    void *p = dlsym(RTLD_DEFAULT, "ticketshim_get_stats");
    int (*get)(uint64_t *, size_t);
    uint64_t values[COUNT];
    size_t used = 0;

    memcpy(&get, &p, sizeof(get));
    if (p == NULL || get(values, sizeof(values)) != 1) {
        snprintf(answer, size, "none");
        return;
    }
    for (size_t i = 0; i < COUNT; i++)
        used += (size_t)snprintf(answer + used, size - used, "%s=%llu ", names[i],
                                 (unsigned long long)values[i]);
}

static void drop(void)
{
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0
        || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        die("drop");
    be_bounded(); /* a change of user forgets the death signal */
}

static void move_into(const char *dir)
{
    if (chroot(dir) != 0 || chdir("/") != 0)
        die("chroot");
}

static void replace(int client)
{
    char listener[32], image[32];
    char *const argv[] = { me.argv[0], me.argv[1], me.argv[2], listener, image, NULL };

    snprintf(listener, sizeof(listener), "listen=%d", me.listener);
    snprintf(image, sizeof(image), "image=%d", me.image + 1);
    close(client);
    execv("/proc/self/exe", argv);
    die("exec");
}

static void obey(int fd)
{
    char order[300] = "", answer[1000] = "done";
    ssize_t n = read(fd, order, sizeof(order) - 1);

    order[n > 0 ? n : 0] = '\0';
    order[strcspn(order, "\n")] = '\0';
    if (strcmp(order, "stats") == 0)
        stats(answer, sizeof(answer));
    else if (strcmp(order, "fork") == 0)
        fork_worker(answer, sizeof(answer));
    else if (strcmp(order, "context") == 0)
        make_context();
    else if (strcmp(order, "drop") == 0)
        drop();
    else if (strncmp(order, "chroot ", 7) == 0)
        move_into(order + 7);
    else if (strcmp(order, "exec") != 0)
        snprintf(answer, sizeof(answer), "what?");
    dprintf(fd, "%s\n", answer);
    if (strcmp(order, "exec") == 0)
        replace(fd);
}

static void talk(int fd)
{
    SSL *ssl = SSL_new(me.ctx);
    char order[64] = "", answer[100];
    int n = 0;

    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && (n = SSL_read(ssl, order, sizeof(order) - 1)) > 0) {
        if (SSL_version(ssl) == TLS1_3_VERSION && strncmp(order, "tickets ", 8) == 0)
            for (int i = atoi(order + 8); i > 0; i--)
                SSL_new_session_ticket(ssl);
        snprintf(answer, sizeof(answer), "pid=%d image=%d\n", (int)getpid(), me.image);
        SSL_write(ssl, answer, (int)strlen(answer));
        SSL_shutdown(ssl);
    }
    ERR_clear_error();
    SSL_free(ssl);
}

static void serve(void)
{
    for (;;) {
        int fd = accept(me.listener, NULL, NULL);
        unsigned char first;

        if (fd < 0)
            continue;
        if (recv(fd, &first, 1, MSG_PEEK) != 1)
            ;
        else if (first == 0x16) /* a TLS record: handshake */
            talk(fd);
        else
            obey(fd);
        close(fd);
    }
}

static const char *option(int argc, char **argv, const char *name)
{
    size_t n = strlen(name);

    for (int i = 3; i < argc; i++)
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
    return NULL;
}

static long number(int argc, char **argv, const char *name)
{
    const char *s = option(argc, argv, name);

    return s != NULL ? atol(s) : 0;
}

int main(int argc, char **argv)
{
    const char *first;
    char answer[100];

    if (argc < 3)
        return 2;
    be_bounded();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    me.argv = argv;
    me.cert = argv[1];
    me.key = argv[2];
    me.timeout = number(argc, argv, "timeout");
    me.image = (int)number(argc, argv, "image");
    me.own_keys = option(argc, argv, "own-keys");
    if (option(argc, argv, "sid") != NULL)
        me.sid = option(argc, argv, "sid");
    me.listener = (int)number(argc, argv, "listen");
    if (me.listener == 0)
        me.listener = new_listener(&me.port);
    /* Some servers do this before they touch libssl at all. */
    first = option(argc, argv, "first");
    if (first != NULL && strcmp(first, "drop") == 0)
        drop();
    else if (first != NULL && strncmp(first, "chroot:", 7) == 0)
        move_into(first + 7);
    make_context();
    if (me.image == 0)
        printf("port=%d pid=%d\n", me.port, (int)getpid());
    for (long i = number(argc, argv, "workers"); i > 0; i--) {
        fork_worker(answer, sizeof(answer));
        puts(answer);
    }
    serve();
}
