/* child.h: a second process (child.c). Part of ts.h. */
#ifndef TS_CHILD_H
#define TS_CHILD_H

#include <stddef.h>

/* This program, run again. Zero it, fill it in, free it. */
typedef struct ts_child {
    const char *role;             /* its argv[1] */
    int stock;                    /* without the shim, whatever this one has */
    const char *const *env;       /* more "NAME=value", ended by NULL; or NULL */
    const void *in;               /* for its stdin */
    size_t in_len;
    int keep_stderr;              /* into `err`, rather than to ours */
    int exit_code;                /* or 128 + signal */
    unsigned char *out;           /* its stdout; a NUL follows */
    char *err;
    size_t out_len, err_len;
} ts_child;

void ts_child_run(ts_child *c);
void ts_child_free(ts_child *c);

/* In the child: what it was given, what it hands back. */
size_t ts_child_input(unsigned char *buf, size_t size);
void ts_child_output(const void *data, size_t len);

#endif
