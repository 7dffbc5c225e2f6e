/*
 * dlopen.c: a program that is not linked with libssl, and gets every function
 * with dlopen() and dlsym(). These calls go to libssl itself, past the shim;
 * what libssl then does inside may come back to it. Either way all works: full
 * handshake, ticket, resumption. TLS 1.2 without certificates keeps it small.
 *
 * dlmopen.c does the same in a link namespace of its own, deepbind.c with
 * RTLD_DEEPBIND, reload.c three times.
 */
#ifndef _GNU_SOURCE
# define _GNU_SOURCE /* RTLD_DEFAULT, RTLD_DEEPBIND */
#endif
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#if OPENSSL_VERSION_NUMBER >= 0x40000000L
# define SUFFIX ".so.4"
#elif OPENSSL_VERSION_NUMBER >= 0x30000000L
# define SUFFIX ".so.3"
#else
# define SUFFIX ".so.1.1"
#endif

/* Each function by its own name and prototype, as a pointer with an x before. */
#define FUNCTIONS(F) \
    F(TLS_method) F(SSL_CTX_new) F(SSL_CTX_free) F(SSL_CTX_ctrl) \
    F(SSL_CTX_set_cipher_list) F(SSL_new) F(SSL_free) F(SSL_set_bio) \
    F(SSL_set_accept_state) F(SSL_set_connect_state) F(SSL_do_handshake) \
    F(SSL_session_reused) F(SSL_get1_session) F(SSL_set_session) \
    F(SSL_SESSION_free) F(SSL_SESSION_has_ticket) F(SSL_shutdown) \
    F(SSL_CTX_set_session_ticket_cb)
#define CRYPTO_FUNCTIONS(F) F(BIO_new) F(BIO_s_mem) F(BIO_up_ref) \
    F(ERR_peek_error)

#define DECLARE(name) static __typeof__(&name) x##name;
FUNCTIONS(DECLARE)
CRYPTO_FUNCTIONS(DECLARE)

static int tests, failed;

static void ok(int cond, const char *what)
{
    tests++;
    failed += !cond;
    printf("%s %d - %s\n", cond ? "ok" : "not ok", tests, what);
}

#ifdef SPACE
static Lmid_t space = SPACE;
#endif

#ifndef FLAGS
# define FLAGS (RTLD_NOW | RTLD_LOCAL)
#endif
#ifndef TIMES
# define TIMES 1
#endif

static void *load(const char *file)
{
#ifdef SPACE
    void *handle = dlmopen(space, file, FLAGS);
#else
    void *handle = dlopen(file, FLAGS);
#endif

    if (handle == NULL) {
        printf("Bail out! %s\n", dlerror());
        exit(70);
    }
    return handle;
}

static void find(void *handle, const char *name, void *pointer)
{
    void *p = dlsym(handle, name);

    if (p == NULL) {
        printf("Bail out! no %s\n", name);
        exit(70);
    }
    memcpy(pointer, &p, sizeof(p));
}

static int gen_calls;

static int gen_cb(SSL *s, void *arg)
{
    (void)s;
    (void)arg;
    gen_calls++;
    return 1;
}

static SSL_CTX *new_ctx(void)
{
    SSL_CTX *ctx = xSSL_CTX_new(xTLS_method());

    if (ctx == NULL
        || xSSL_CTX_ctrl(ctx, SSL_CTRL_SET_MAX_PROTO_VERSION, TLS1_2_VERSION,
                         NULL) != 1
        || xSSL_CTX_ctrl(ctx, SSL_CTRL_SET_DH_AUTO, 1, NULL) != 1
        || xSSL_CTX_set_cipher_list(ctx, "ADH-AES128-GCM-SHA256:@SECLEVEL=0")
           != 1) {
        printf("Bail out! cannot make a context\n");
        exit(70);
    }
    return ctx;
}

/* Returns the client's session, and whether it was resumed. */
static SSL_SESSION *connect_once(SSL_CTX *srv, SSL_CTX *cli, SSL_SESSION *offer,
                                 int *resumed)
{
    BIO *up = xBIO_new(xBIO_s_mem()), *down = xBIO_new(xBIO_s_mem());
    SSL *server = xSSL_new(srv), *client = xSSL_new(cli);
    SSL_SESSION *ss;
    int c = 0, s = 0;

    xBIO_up_ref(up);
    xBIO_up_ref(down);
    xSSL_set_bio(server, up, down);
    xSSL_set_bio(client, down, up);
    xSSL_set_accept_state(server);
    xSSL_set_connect_state(client);
    if (offer != NULL)
        xSSL_set_session(client, offer);
    for (int i = 0; i < 6 && !(c == 1 && s == 1); i++) {
        c = xSSL_do_handshake(client);
        s = xSSL_do_handshake(server);
    }
    ok(c == 1 && s == 1, "a handshake");
    *resumed = xSSL_session_reused(server) && xSSL_session_reused(client);
    ss = xSSL_get1_session(client);
    xSSL_shutdown(client);
    xSSL_shutdown(server);
    xSSL_free(client);
    xSSL_free(server);
    return ss;
}

/* Under the shim: it is there, and had no trouble. */
static int shim_is_well(void)
{
    struct { uint64_t n[13]; } stats; /* struct ticketshim_stats */
    int (*get)(void *, size_t);
    void *p = dlsym(RTLD_DEFAULT, "ticketshim_get_stats");
    const char *expected = getenv("TS_EXPECT_SHIM");

    if (expected == NULL)
        return p == NULL;
    if (p == NULL)
        return 0;
    memcpy(&get, &p, sizeof(get));
    if (get(&stats, sizeof(stats)) != 1)
        return 0;
    fprintf(stderr, "# attached %d, sealed %d, opened %d, failures %d\n",
            (int)stats.n[0], (int)stats.n[2], (int)stats.n[3],
            (int)stats.n[12]);
    /* All that it sealed it opened: one ticket, or, past it, none. */
    return stats.n[2] == stats.n[3] && stats.n[12] == 0;
}

static void once(void)
{
    void *libssl = load("libssl" SUFFIX), *libcrypto;
    SSL_CTX *srv, *cli;
    SSL_SESSION *first, *second;
    int resumed;

#ifdef SPACE
    if (dlinfo(libssl, RTLD_DI_LMID, &space) != 0) {
        printf("Bail out! %s\n", dlerror());
        exit(70);
    }
#endif
    libcrypto = load("libcrypto" SUFFIX);

#define FIND(name) find(libssl, #name, &x##name);
#define FIND_CRYPTO(name) find(libcrypto, #name, &x##name);
    FUNCTIONS(FIND)
    CRYPTO_FUNCTIONS(FIND_CRYPTO)
    gen_calls = 0;
    srv = new_ctx();
    cli = new_ctx();
    ok(xSSL_CTX_set_session_ticket_cb(srv, gen_cb, NULL, NULL) == 1,
       "SSL_CTX_set_session_ticket_cb() by pointer");
    first = connect_once(srv, cli, NULL, &resumed);
    ok(!resumed, "the first is a full handshake");
    ok(gen_calls == 1 && xSSL_SESSION_has_ticket(first), "... with a ticket");
    second = connect_once(srv, cli, first, &resumed);
    ok(resumed, "the second is resumed");
    ok(xERR_peek_error() == 0, "the error queue is empty");
    xSSL_SESSION_free(first);
    xSSL_SESSION_free(second);
    xSSL_CTX_free(srv);
    xSSL_CTX_free(cli);
    ok(shim_is_well(), "the shim is there or is not, and well");
    dlclose(libssl);
    dlclose(libcrypto);
}

int main(void)
{
    for (int i = 0; i < TIMES; i++)
        once();
    printf("1..%d\n", tests);
    return failed > 0;
}
