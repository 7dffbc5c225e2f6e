/*
 * dgram.c: BIOs in memory. For TLS OpenSSL's own memory BIO; for DTLS one that
 * keeps datagrams apart (BIO_s_dgram_mem only exists since OpenSSL 3.2).
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

typedef struct datagram {
    struct datagram *next;
    size_t len;
    unsigned char data[];
} datagram;

typedef struct queue {
    datagram *first, *last;
    int peeks;                /* DTLSv1_listen() looks at one, and leaves it */
} queue;

static BIO_METHOD *method;

static int dgram_create(BIO *b)
{
    queue *q = ts_xmalloc(sizeof(*q));

    memset(q, 0, sizeof(*q));
    BIO_set_data(b, q);
    BIO_set_init(b, 1);
    return 1;
}

static int dgram_destroy(BIO *b)
{
    queue *q = BIO_get_data(b);

    while (q->first != NULL) {
        datagram *d = q->first;

        q->first = d->next;
        free(d);
    }
    free(q);
    BIO_set_data(b, NULL);
    return 1;
}

static int dgram_write(BIO *b, const char *data, int len)
{
    queue *q = BIO_get_data(b);
    datagram *d = ts_xmalloc(sizeof(*d) + (size_t)len);

    d->len = (size_t)len;
    memcpy(d->data, data, (size_t)len);
    if (q->first == NULL)
        q->first = d;
    else
        q->last->next = d;
    q->last = d;
    BIO_clear_retry_flags(b);
    return len;
}

static int dgram_read(BIO *b, char *out, int size)
{
    queue *q = BIO_get_data(b);
    datagram *d = q->first;
    size_t n;

    BIO_clear_retry_flags(b);
    if (d == NULL) {
        BIO_set_retry_read(b);
        return -1;
    }
    /* What does not fit is lost, as with recv() on a datagram socket. */
    n = d->len < (size_t)size ? d->len : (size_t)size;
    memcpy(out, d->data, n);
    if (q->peeks)
        return (int)n;
    q->first = d->next;
    free(d);
    return (int)n;
}

static long dgram_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    queue *q = BIO_get_data(b);

    (void)ptr;
    switch (cmd) {
    case BIO_CTRL_DGRAM_SET_PEEK_MODE:
        q->peeks = num != 0;
        return 1;
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP:
        return 1;
    case BIO_CTRL_PENDING:
        return q->first != NULL ? (long)q->first->len : 0;
    case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD:
        return 28; /* IPv4 and UDP */
    case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
        return 1472;
    default:
        return 0;
    }
}

BIO *ts_dgram_bio_new(void)
{
    BIO *b;

    if (method == NULL) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
                              "datagrams in memory");
        if (method == NULL
            || BIO_meth_set_create(method, dgram_create) != 1
            || BIO_meth_set_destroy(method, dgram_destroy) != 1
            || BIO_meth_set_write(method, dgram_write) != 1
            || BIO_meth_set_read(method, dgram_read) != 1
            || BIO_meth_set_ctrl(method, dgram_ctrl) != 1)
            ts_bail("cannot make a BIO method");
    }
    b = BIO_new(method);
    if (b == NULL)
        ts_bail("cannot make a datagram BIO");
    return b;
}

void ts_dgram_bio_method_free(void)
{
    BIO_meth_free(method);
    method = NULL;
}

BIO *ts_stream_bio_new(void)
{
    BIO *b = BIO_new(BIO_s_mem());

    if (b == NULL)
        ts_bail("cannot make a memory BIO");
    BIO_set_mem_eof_return(b, -1);
    return b;
}
