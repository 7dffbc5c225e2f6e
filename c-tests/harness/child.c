/* child.c: this very program again, in a process of its own. */
#define _GNU_SOURCE /* putenv, unsetenv, readlink */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

#define PATH_SIZE 4096

/* Files rather than pipes: nobody has to read for the other to go on. */
static FILE *new_file(const void *data, size_t len)
{
    FILE *f = tmpfile();

    if (f == NULL || fwrite(data, 1, len, f) != len || fflush(f) != 0)
        ts_bail("cannot make a temporary file");
    rewind(f);
    return f;
}

static unsigned char *contents(FILE *f, size_t *len)
{
    long n;
    unsigned char *data;

    if (fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0)
        ts_bail("cannot read a temporary file");
    rewind(f);
    data = ts_xmalloc((size_t)n + 1); /* and a NUL, for text */
    *len = fread(data, 1, (size_t)n, f);
    fclose(f);
    return data;
}

/* In the new process: nothing but what exec needs. */
static void become(const char *path, const ts_child *c, int in, int out, int err)
{
    const char *const *e;
    char *const argv[] = { (char *)path, (char *)c->role, NULL };

    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    if (err >= 0)
        dup2(err, STDERR_FILENO);
    if (c->stock) {
        unsetenv("LD_PRELOAD");
        unsetenv("TS_EXPECT_SHIM");
    }
    for (e = c->env; e != NULL && *e != NULL; e++)
        putenv((char *)*e);
    execv(path, argv);
    _exit(127);
}

void ts_child_run(ts_child *c)
{
    char path[PATH_SIZE];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    FILE *in = new_file(c->in, c->in_len), *out = new_file("", 0),
        *err = c->keep_stderr ? new_file("", 0) : NULL;
    pid_t pid;
    int status;

    if (n <= 0)
        ts_bail("cannot read /proc/self/exe");
    path[n] = '\0';
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        become(path, c, fileno(in), fileno(out), err != NULL ? fileno(err) : -1);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        ts_bail("cannot run a second process");
    c->exit_code = WIFEXITED(status) ? WEXITSTATUS(status)
        : 128 + WTERMSIG(status);
    fclose(in);
    c->out = contents(out, &c->out_len);
    if (err != NULL)
        c->err = (char *)contents(err, &c->err_len);
}

void ts_child_free(ts_child *c)
{
    free(c->out);
    free(c->err);
    c->out = NULL;
    c->err = NULL;
}

/* ---- the child's side ------------------------------------------------------------ */

size_t ts_child_input(unsigned char *buf, size_t size)
{
    return fread(buf, 1, size, stdin);
}

void ts_child_output(const void *data, size_t len)
{
    if (fwrite(data, 1, len, stdout) != len || fflush(stdout) != 0)
        ts_bail("cannot hand something over");
}
