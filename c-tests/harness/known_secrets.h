/*
 * known_secrets.h: state files whose secrets the program knows, to look for them
 * where they must not be left: docs/state-file.md, docs/ticket-format.md. Not part
 * of ts.h: what is only read here would be unused elsewhere.
 */
#ifndef TS_KNOWN_SECRETS_H
#define TS_KNOWN_SECRETS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "ts.h"

/* A window of a minute, in epochs of a second. */
#define ACCEPT 60
#define BEHIND 200

#define EPOCHS (BEHIND + 40)
#define CHAINS 5
#define HALVES (CHAINS * (EPOCHS * 3 + 4) * 2)
#define HALF 16

static struct half {
    unsigned char bytes[HALF];
    const char *of;
    unsigned long long epoch;
} halves[HALVES];
static size_t n_halves;

static int compare(const void *a, const void *b)
{
    return memcmp(((const struct half *)a)->bytes, ((const struct half *)b)->bytes, HALF);
}

static void look_for(const unsigned char secret[32], const char *of, unsigned long long epoch)
{
    if (n_halves + 2 > HALVES)
        ts_bail("too many secrets");
    for (int i = 0; i < 2; i++, n_halves++) {
        memcpy(halves[n_halves].bytes, secret + i * HALF, HALF);
        halves[n_halves].of = of;
        halves[n_halves].epoch = epoch;
    }
}

static void expand(const unsigned char key[32], const char *label,
                   unsigned char out[32])
{
    unsigned char info[64];
    unsigned int len = 32;
    size_t n = (size_t)snprintf(
        (char *)info, sizeof(info), "ticketshim v%d %s",
        strcmp(label, "mac") == 0 || strcmp(label, "root") == 0 ? 2 : 1, label);

    info[n++] = 1;
    if (HMAC(EVP_sha256(), key, 32, info, n, out, &len) == NULL)
        ts_bail("HMAC");
}

/* All secrets of a chain from `epoch` on. */
static void look_for_chain(const unsigned char link[32], const unsigned char era[32],
                           unsigned long long epoch)
{
    unsigned char at[32], other[32], next_era[32];

    memcpy(at, link, 32);
    memcpy(next_era, era, 32);
    look_for(next_era, "era", epoch);
    for (int i = 0; i < EPOCHS; i++, epoch++) {
        look_for(at, "link", epoch);
        expand(at, "mac", other);
        look_for(other, "MAC key", epoch);
        expand(at, "root", other);
        look_for(other, "root", epoch);
        if ((epoch + 1) % 4096 == 0) {
            expand(next_era, "first", at);
            expand(next_era, "era", other);
            memcpy(next_era, other, 32);
            look_for(next_era, "era", epoch);
        } else {
            expand(at, "next", other);
            memcpy(at, other, 32);
        }
    }
}

static void know_all(void)
{
    qsort(halves, n_halves, sizeof(halves[0]), compare);
}

static void put(unsigned char *p, unsigned long long value, int bytes)
{
    while (bytes-- > 0) {
        p[bytes] = (unsigned char)value;
        value >>= 8;
    }
}

/* A chain of a state file, of which this program knows the secrets: sealed from now on. */
static void chain_write(unsigned char b[112], unsigned char seed)
{
    unsigned long long now = (unsigned long long)time(NULL);

    memset(b, seed, 16);
    put(b + 16, 1, 4);
    put(b + 20, ACCEPT, 4);
    put(b + 24, now, 8);
    put(b + 32, ~0ULL, 8);
    put(b + 40, now - BEHIND, 8);
    SHA256(&seed, 1, b + 48);
    SHA256(b + 48, 32, b + 80);
    look_for_chain(b + 48, b + 80, now - BEHIND);
}

/* A state file with that chain, and before it the one that was written last unless it is the first. */
static void state_write(const char *path, unsigned char seed, int first)
{
    static unsigned generation;
    static unsigned char last[112];
    unsigned char b[400] = "ticketshim-state", *chain = b + 32;
    char tmp[300];
    FILE *f;

    generation = first ? 2 : generation + 1;
    put(b + 16, 2, 4);
    put(b + 20, first ? 1 : 2, 4);
    put(b + 24, generation, 8);
    if (!first) {
        put(last + 32, (unsigned long long)time(NULL) + 1000, 8);
        memcpy(chain, last, 112);
        chain += 112;
    }
    chain_write(chain, seed);
    memcpy(last, chain, 112);
    SHA256(b, 368, b + 368);
    snprintf(tmp, sizeof(tmp), "%s.new", path);
    umask(077);
    f = fopen(tmp, "w");
    if (f == NULL || fwrite(b, 1, sizeof(b), f) != sizeof(b) || fclose(f) != 0
        || rename(tmp, path) != 0)
        ts_bail("cannot write %s", path);
}

/* One that another process has written. */
static void state_known(const char *path)
{
    unsigned char b[400];
    unsigned long long epoch = 0;
    FILE *f = fopen(path, "r");

    if (f == NULL || fread(b, 1, sizeof(b), f) != sizeof(b))
        ts_bail("cannot read %s", path);
    fclose(f);
    for (int i = 0; i < 8; i++)
        epoch = epoch << 8 | b[72 + i];
    look_for_chain(b + 80, b + 112, epoch);
    know_all();
    /* This copy is in no place that is looked at, and goes all the same. */
    OPENSSL_cleanse(b, sizeof(b));
}

#endif
