/*
 * own_memory.c: a program with memory functions of its own (CRYPTO_set_mem_functions(3)),
 * which it may only set before OpenSSL has allocated anything, and with a secure
 * heap (CRYPTO_secure_malloc_init(3)). What one side has allocated is never freed by
 * the other.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "ts.h"

/* Before each block. malloc() would not find its own there. (Memcheck finds all by the list.) */
typedef union head {
    struct {
        unsigned long mark;
        size_t size;
        union head *next, *before;
    } is;
    long double aligned[2];
} head;

#define MARK 0x5ec0ddedUL

static long blocks, foreign;
static head all = { .is = { 0, 0, &all, &all } };

static void *take(size_t size, const char *file, int line)
{
    head *h = malloc(sizeof(*h) + size);

    (void)file;
    (void)line;
    if (h == NULL)
        return NULL;
    h->is.mark = MARK;
    h->is.size = size;
    h->is.next = all.is.next;
    h->is.before = &all;
    h->is.next->is.before = h;
    all.is.next = h;
    blocks++;
    return h + 1;
}

static void give(void *block, const char *file, int line)
{
    head *h = block;

    (void)file;
    (void)line;
    if (block == NULL)
        return;
    if (h[-1].is.mark != MARK) {
        foreign++;
        return;
    }
    h[-1].is.mark = 0;
    h[-1].is.next->is.before = h[-1].is.before;
    h[-1].is.before->is.next = h[-1].is.next;
    blocks--;
    free(h - 1);
}

static void *retake(void *block, size_t size, const char *file, int line)
{
    head *h = block;
    void *new;

    if (block == NULL)
        return take(size, file, line);
    if (size == 0) {
        give(block, file, line);
        return NULL;
    }
    foreign += h[-1].is.mark != MARK;
    new = take(size, file, line);
    if (new != NULL) {
        memcpy(new, block, size < h[-1].is.size ? size : h[-1].is.size);
        give(block, file, line);
    }
    return new;
}

static void tickets(ts_proto proto)
{
    SSL_CTX *srv = ts_server_ctx(proto), *cli = ts_client_ctx(proto);
    SSL_SESSION *ss;
    ts_conn *c = ts_connect(srv, cli, NULL);

    ts_is_str(ts_outcome(c), ts_full(proto), "%s: full handshake", ts_proto_name(proto));
    ss = ts_session(c);
    ts_expect_core(c->tickets, 0);
    ts_conn_free(c);
    c = ts_connect(srv, cli, ss);
    ts_is_str(ts_outcome(c), ts_resumed(proto), "%s: the ticket resumes", ts_proto_name(proto));
    ts_expect_core(c->tickets, 1);
    ts_conn_free(c);
    SSL_SESSION_free(ss);
    SSL_CTX_free(srv);
    SSL_CTX_free(cli);
}

int main(void)
{
    ts_is_int(CRYPTO_set_mem_functions(take, retake, give), 1, "memory functions of the program's own");
    ts_ok(CRYPTO_secure_malloc_init(65536, 32) >= 1, "a secure heap");
    for (const ts_proto *p = ts_all_protos; *p != TS_PROTO_END; p++)
        tickets(*p);
    ts_ok(blocks > 0, "the functions were used");
    ts_is_int(foreign, 0, "… and given nothing that is not theirs");
    return ts_done();
}
