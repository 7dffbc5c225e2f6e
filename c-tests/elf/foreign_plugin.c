/*
 * foreign_plugin.c: makes a context of the libssl that it is linked with
 * (foreign_libssl.c) and sets it up. With -DTAIL its call of SSL_CTX_new is a
 * jump, so the call does not show who made it. With -DMAIN a program.
 */
#include <stddef.h>
#include <stdio.h>

const void *TLS_server_method(void);
void *SSL_CTX_new(const void *method);
long SSL_CTX_ctrl(void *ctx, int cmd, long larg, void *parg);
int SSL_CTX_set_session_id_context(void *ctx, const unsigned char *id, unsigned len);

#ifdef TAIL
# include <pthread.h>

/* Nothing but a jump, in a thread that the C library begins: the C library seems to call. */
static void *begin(void *method) { return SSL_CTX_new(method); }

static void *make(void)
{
    pthread_t thread;
    void *ctx = NULL;

    if (pthread_create(&thread, NULL, begin, (void *)TLS_server_method()) == 0)
        pthread_join(thread, &ctx);
    return ctx;
}
#else
static void *make(void)
{
    void *volatile ctx = SSL_CTX_new(TLS_server_method());

    return ctx;
}
#endif

static char said[64];

/* As of versions/two/plugin.c. */
const char *two_resume(int another_context);
const char *two_resume(int another_context)
{
    void *ctx = make();

    (void)another_context;
    snprintf(said, sizeof(said), "%s %ld %d", ctx != NULL ? "made" : "NULL",
             ctx != NULL ? SSL_CTX_ctrl(ctx, 33, 0, NULL) : 0L,
             ctx != NULL ? SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"x", 1) : 0);
    return said;
}

#ifdef MAIN
int main(void)
{
    puts(two_resume(0));
    return 0;
}
#endif
