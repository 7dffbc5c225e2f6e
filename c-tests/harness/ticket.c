/*
 * ticket.c: reading and replacing the ticket in a client's session.
 *
 * OpenSSL reads it (SSL_SESSION_get0_ticket()) and offers nothing to set it,
 * so the session's DER is edited: in ssl/ssl_asn1.c the ticket is the field
 * "[10] EXPLICIT OCTET STRING" of the outer SEQUENCE.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define TAG_SEQUENCE 0x30
#define TAG_OCTETS   0x04
#define TAG_TICKET   0xaa /* context class, constructed, number 10 */

const unsigned char *ts_ticket(const SSL_SESSION *ss, size_t *len)
{
    const unsigned char *ticket = NULL;

    *len = 0;
    SSL_SESSION_get0_ticket(ss, &ticket, len);
    return ticket;
}

/* Reads tag and length at `p`; returns the content, moves `*next` behind it. */
static const unsigned char *read_tlv(const unsigned char *p,
                                     const unsigned char *end, int *tag,
                                     size_t *len, const unsigned char **next)
{
    size_t n, octets;

    if (end - p < 2)
        ts_bail("session DER ends early");
    *tag = *p++;
    n = *p++;
    if (n >= 0x80) {
        for (octets = n & 0x7f, n = 0; octets > 0 && p < end; octets--)
            n = n << 8 | *p++;
    }
    if ((size_t)(end - p) < n)
        ts_bail("session DER is cut short");
    *len = n;
    *next = p + n;
    return p;
}

/* Tag and length of `len` bytes to `out`: at most 5 bytes, returns how many. */
static size_t write_header(unsigned char *out, int tag, size_t len)
{
    size_t n = 0;

    out[n++] = (unsigned char)tag;
    if (len >= 0x10000) {
        out[n++] = 0x83;
        out[n++] = (unsigned char)(len >> 16);
        out[n++] = (unsigned char)(len >> 8);
    } else if (len >= 0x100) {
        out[n++] = 0x82;
        out[n++] = (unsigned char)(len >> 8);
    } else if (len >= 0x80) {
        out[n++] = 0x81;
    }
    out[n++] = (unsigned char)len;
    return n;
}

static size_t write_tlv(unsigned char *out, int tag, const unsigned char *data,
                        size_t len)
{
    size_t n = write_header(out, tag, len);

    memcpy(out + n, data, len);
    return n + len;
}

static unsigned char *to_der(SSL_SESSION *ss, size_t *len)
{
    unsigned char *der = NULL;
    int n = i2d_SSL_SESSION(ss, &der);

    if (n <= 0)
        ts_bail("cannot encode a session");
    *len = (size_t)n;
    return der;
}

static SSL_SESSION *from_der(const unsigned char *der, size_t len)
{
    SSL_SESSION *ss = d2i_SSL_SESSION(NULL, &der, (long)len);

    if (ss == NULL)
        ts_bail("cannot decode a session");
    return ss;
}

SSL_SESSION *ts_der_copy(SSL_SESSION *ss)
{
    size_t len;
    unsigned char *der = to_der(ss, &len);
    SSL_SESSION *copy = from_der(der, len);

    OPENSSL_free(der);
    return copy;
}

SSL_SESSION *ts_with_ticket(SSL_SESSION *ss, const unsigned char *ticket,
                            size_t len)
{
    size_t der_len, body_len, field_len, n = 0, octets_len, replaced = 0;
    unsigned char *der = to_der(ss, &der_len);
    unsigned char *body = ts_xmalloc(der_len + len + 16);
    unsigned char *octets = ts_xmalloc(len + 8);
    unsigned char *out = ts_xmalloc(der_len + len + 32);
    const unsigned char *p, *end, *next;
    SSL_SESSION *copy;
    int tag;

    octets_len = write_tlv(octets, TAG_OCTETS, ticket, len);
    p = read_tlv(der, der + der_len, &tag, &body_len, &next);
    if (tag != TAG_SEQUENCE)
        ts_bail("a session's DER is not a SEQUENCE");
    for (end = p + body_len; p < end; p = next) {
        read_tlv(p, end, &tag, &field_len, &next);
        if (tag == TAG_TICKET) {
            n += write_tlv(body + n, TAG_TICKET, octets, octets_len);
            replaced++;
        } else {
            memcpy(body + n, p, (size_t)(next - p));
            n += (size_t)(next - p);
        }
    }
    if (replaced != 1)
        ts_bail("this session has no ticket to replace");
    copy = from_der(out, write_tlv(out, TAG_SEQUENCE, body, n));
    OPENSSL_free(der);
    free(body);
    free(octets);
    free(out);
    return copy;
}

SSL_SESSION *ts_with_flip(SSL_SESSION *ss, size_t pos, unsigned char mask)
{
    size_t len;
    const unsigned char *ticket = ts_ticket(ss, &len);
    unsigned char *copy = ts_xmalloc(len);
    SSL_SESSION *out;

    if (pos >= len)
        ts_bail("no byte %zu in a ticket of %zu", pos, len);
    memcpy(copy, ticket, len);
    copy[pos] ^= mask;
    out = ts_with_ticket(ss, copy, len);
    free(copy);
    return out;
}

SSL_SESSION *ts_with_cut(SSL_SESSION *ss, size_t len)
{
    size_t full;
    const unsigned char *ticket = ts_ticket(ss, &full);

    if (len > full)
        ts_bail("a ticket of %zu can't be cut to %zu", full, len);
    return ts_with_ticket(ss, ticket, len);
}
