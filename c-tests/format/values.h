/*
 * values.h: files with lines of "name = hex", and comments that begin with #. For
 * ticket.c, which includes it once.
 */
#ifndef TS_VALUES_H
#define TS_VALUES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *name)
{
    printf("Bail out! %s%s\n", what, name);
    exit(70);
}

#define MAX_VALUES 64
#define MAX_BYTES  4096

typedef struct value {
    char name[64];
    unsigned char bytes[MAX_BYTES];
    size_t len;
} value;

static value values[MAX_VALUES];
static int n_values;

/* Reads hex up to its end; -1 if it is not. */
static long unhex(const char *hex, unsigned char *out, size_t size)
{
    size_t n = strlen(hex);
    unsigned byte;

    if (n % 2 != 0 || n / 2 > size || strspn(hex, "0123456789abcdef") != n)
        return -1;
    for (size_t i = 0; i < n / 2; i++) {
        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (unsigned char)byte;
    }
    return (long)(n / 2);
}

static void read_file(const char *path)
{
    static char line[2 * MAX_BYTES + 100], hex[2 * MAX_BYTES + 1];
    FILE *f = fopen(path, "r");
    value *v;
    long len;

    if (f == NULL)
        fail("cannot read ", path);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (n_values == MAX_VALUES)
            fail("too many lines in ", path);
        v = &values[n_values++];
        hex[0] = '\0';
        if (sscanf(line, "%63[a-z_] = %8192s", v->name, hex) < 1
            || (len = unhex(hex, v->bytes, sizeof(v->bytes))) < 0)
            fail("this is not \"name = hex\": ", line);
        v->len = (size_t)len;
    }
    fclose(f);
}

/* The `i`-th value of a name; NULL after the last. */
static const value *nth(const char *name, int i)
{
    for (int k = 0; k < n_values; k++)
        if (strcmp(values[k].name, name) == 0 && i-- == 0)
            return &values[k];
    return NULL;
}

/* The value of that name, which must have `len` bytes (0: any number). */
static const unsigned char *get(const char *name, size_t len)
{
    const value *v = nth(name, 0);

    if (v == NULL)
        fail("the files do not have ", name);
    if (nth(name, 1) != NULL)
        fail("the files have twice ", name);
    if (len != 0 && v->len != len)
        fail("wrong length: ", name);
    return v->bytes;
}

static size_t length(const char *name)
{
    get(name, 0);
    return nth(name, 0)->len;
}

#endif
