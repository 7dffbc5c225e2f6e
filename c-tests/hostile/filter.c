/*
 * filter.c: runs a program under a seccomp filter.
 *
 *   filter allow FILE -- PROGRAM [ARGUMENT…]          a system call that is not named in FILE ends the process (SIGSYS)
 *   filter deny NAME=ERROR… -- PROGRAM [ARGUMENT…]    these fail with that error number; "kill": they end the process
 *
 * Names that this machine does not have are passed over.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct { const char *name; int number; } calls[] = {
#include "calls.h" /* made of <sys/syscall.h> by the Makefile */
};

static struct sock_filter program[1024];
static unsigned short length;

static void add(unsigned short code, unsigned char jt, unsigned char jf, unsigned k)
{
    if (length < sizeof(program) / sizeof(*program))
        program[length++] = (struct sock_filter){ code, jt, jf, k };
}

static void answer(const char *name, unsigned with)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
        if (strcmp(calls[i].name, name) == 0) {
            add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (unsigned)calls[i].number);
            add(BPF_RET | BPF_K, 0, 0, with);
        }
}

int main(int argc, char **argv)
{
    unsigned otherwise = SECCOMP_RET_ALLOW;
    struct sock_fprog filter;
    int i = 2;

    add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
    if (argc > 3 && strcmp(argv[1], "allow") == 0) {
        char name[64];
        FILE *file = fopen(argv[i++], "r");

        if (file == NULL)
            return 126;
        while (fscanf(file, "%63s", name) == 1)
            answer(name, SECCOMP_RET_ALLOW);
        fclose(file);
        otherwise = SECCOMP_RET_KILL_PROCESS;
    }
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        char *with = strchr(argv[i], '=');

        if (with == NULL)
            return 126;
        *with++ = '\0';
        answer(argv[i], strcmp(with, "kill") == 0 ? SECCOMP_RET_KILL_PROCESS
                                                  : SECCOMP_RET_ERRNO | (unsigned)atoi(with));
    }
    add(BPF_RET | BPF_K, 0, 0, otherwise);
    filter = (struct sock_fprog){ length, program };
    if (i + 1 >= argc || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        perror("filter");
        return 126;
    }
    execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 127;
}
