/*
 * offered.h: of sweep.c, the tickets that are offered, and what can be done to
 * those of a server by who knows no key.
 */
#ifndef OFFERED_H
#define OFFERED_H

#define NAME 16
#define SALT 16
#define TAG  16
#define MAC  32

typedef struct bytes {
    unsigned char *data;
    size_t len;
} bytes;

static struct {
    bytes ticket;
    SSL_SESSION *as;         /* NULL: in a session of the server's own */
    const char *kind;
} *list;
static size_t listed, room;

static bytes genuine_tickets[2];

static void add(const char *kind, const unsigned char *data, size_t len, SSL_SESSION *as)
{
    /* Two of one process begin alike, so a part of each may be one of them. */
    for (int i = 0; i < 2; i++)
        if (genuine_tickets[i].len == len && memcmp(genuine_tickets[i].data, data, len) == 0)
            return;
    if (listed == room) {
        room = room * 2 + 64;
        list = realloc(list, room * sizeof(*list));
        if (list == NULL)
            ts_bail("no memory");
    }
    list[listed].ticket.data = ts_xmalloc(len + 1);
    memcpy(list[listed].ticket.data, data, len);
    list[listed].ticket.len = len;
    list[listed].as = as;
    list[listed++].kind = kind;
}

static bytes ticket_of(SSL_SESSION *session)
{
    bytes t = { NULL, 0 };
    const unsigned char *data = ts_ticket(session, &t.len);

    t.data = ts_xmalloc(t.len + 1);
    memcpy(t.data, data, t.len);
    return t;
}

/* Everything that can be done to one ticket alone. */
static void add_changed(bytes t)
{
    static const unsigned char masks[] = { 0x01, 0x80, 0xff };
    static const size_t longer[] = { 1, 2, 15, 16, 17, 31, 32, 33, 64, 255, 256, 1000, 4096, 16383, 16384, 16385, 32768,
                                     60000, 65000, 65200, 65300, 65535 };
    unsigned char *copy = ts_xmalloc(65536);

    for (size_t m = 0; m < sizeof(masks); m++)
        for (size_t at = 0; at < t.len; at++) {
            memcpy(copy, t.data, t.len);
            copy[at] ^= masks[m];
            add("a byte flipped", copy, t.len, NULL);
        }
    memcpy(copy, t.data, t.len);
    for (size_t len = 1; len < t.len; len++)
        add("cut", copy, len, NULL);
    for (size_t len = 1; len < t.len; len++)
        add("its beginning cut off", t.data + len, t.len - len, NULL);
    for (int fill = 0; fill < 2; fill++)
        for (size_t i = 0; i < sizeof(longer) / sizeof(longer[0]); i++) {
            size_t len = longer[i] < 1000 ? t.len + longer[i] : longer[i];

            memset(copy, fill ? 0xff : 0, 65535);
            memcpy(copy, t.data, t.len);
            add("made longer", copy, len, NULL);
            /* Longer in the middle: name, salt and MAC stay where they were. */
            memset(copy + t.len - MAC, fill, len - t.len);
            memcpy(copy + len - MAC, t.data + t.len - MAC, MAC);
            add("longer in the middle", copy, len, NULL);
        }
    memcpy(copy, t.data, t.len);
    memset(copy + t.len - MAC, 0, MAC);
    add("MAC of zeros", copy, t.len, NULL);
    memcpy(copy, t.data, t.len);
    memset(copy + t.len - MAC - TAG, 0, TAG);
    add("tag of zeros", copy, t.len, NULL);
    memset(copy + t.len - MAC, 0, MAC);
    add("tag and MAC of zeros", copy, t.len, NULL);
    memset(copy, 0, t.len);
    add("all zeros", copy, t.len, NULL);
    memset(copy, 0, 65535);
    memcpy(copy, t.data, NAME);
    add("its name, and zeros", copy, t.len, NULL);
    free(copy);
}

/* What can be done with two of the same server. */
static void add_mixed(bytes a, bytes b)
{
    static const struct { const char *kind; size_t from, len; int end; } parts[] = {
        { "another's salt", NAME, SALT, 0 }, { "another's name and salt", 0, NAME + SALT, 0 },
        { "another's MAC", MAC, MAC, 1 }, { "another's tag", MAC + TAG, TAG, 1 },
        { "another's tag and MAC", MAC + TAG, MAC + TAG, 1 },
    };
    unsigned char *copy = ts_xmalloc(a.len + b.len);

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        memcpy(copy, a.data, a.len);
        memcpy(parts[i].end ? copy + a.len - parts[i].from : copy + parts[i].from,
               parts[i].end ? b.data + b.len - parts[i].from : b.data + parts[i].from, parts[i].len);
        add(parts[i].kind, copy, a.len, NULL);
    }
    memcpy(copy, a.data, a.len);
    memcpy(copy + a.len, b.data, b.len);
    add("two joined", copy, a.len + b.len, NULL);
    for (size_t half = 1; half < 8; half++) {
        size_t from_a = a.len * half / 8, from_b = b.len - b.len * half / 8;

        memcpy(copy, a.data, from_a);
        memcpy(copy + from_a, b.data + b.len - from_b, from_b);
        add("a part of each", copy, from_a + from_b, NULL);
    }
    free(copy);
}

#endif
