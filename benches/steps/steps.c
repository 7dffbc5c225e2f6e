/*
 * steps.c: counts instructions one by one, on the processor as it is.
 *
 *   steps PROGRAM ARGUMENT…
 *
 * Runs the program to its first breakpoint instruction, then in single steps to the next, and so on; what is between a
 * first and a second breakpoint is counted, by the file that the code is in. An emulator (valgrind) has no SHA-NI and no
 * VAES, so it counts a way that no server goes; steps are slow and exact. Cryptographic instructions are told apart by
 * their bytes, which shows that a library that picks its code at run time picked what it should.
 *
 * Prints lines: "spans N", "code FILE COUNT", "kind FILE KIND COUNT", and with
 * STEPS_PLACES in the environment "place FILE OFFSET COUNT" for each instruction. STEPS_PRELOAD is the program's
 * LD_PRELOAD. For x86-64 Linux.
 */
#define _GNU_SOURCE /* process_vm_readv() */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if !defined(__x86_64__)
# error "steps.c knows the instructions of x86-64 only"
#endif

#define FILES  64
#define PLACES (1u << 20)

enum kind { PLAIN, TRAP, AES, VAES, CLMUL, VCLMUL, SHA, KINDS };
static const char *const kind_names[KINDS] = { "plain", "trap", "aes", "vaes", "clmul", "vclmul", "sha" };

static struct file {
    char name[64];
    uint64_t count[KINDS];
} files[FILES];

static struct mapping {
    uint64_t start, end, base;
    int file;
} mappings[512];
static int n_files, n_mappings;

/* What is known of an address: a table with open addressing. */
static struct place {
    uint64_t at, count, offset;
    uint8_t kind;
    uint8_t file;
} places[PLACES];

static void die(const char *what)
{
    fprintf(stderr, "steps: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int file_of(const char *path)
{
    const char *name = strrchr(path, '/');

    name = name != NULL ? name + 1 : path;
    for (int i = 0; i < n_files; i++)
        if (strcmp(files[i].name, name) == 0)
            return i;
    if (n_files == FILES)
        die("too many files");
    snprintf(files[n_files].name, sizeof(files[0].name), "%s", name);
    return n_files++;
}

static void read_maps(pid_t pid)
{
    char path[64], line[512];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    f = fopen(path, "r");
    if (f == NULL)
        die(path);
    n_mappings = 0;
    while (fgets(line, sizeof(line), f) != NULL && n_mappings < 512) {
        struct mapping *m = &mappings[n_mappings];
        char perms[8], name[256] = "?";
        unsigned long start, end, offset;

        if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %255s", &start, &end, perms, &offset, name) < 4 || perms[2] != 'x')
            continue;
        m->start = start;
        m->end = end;
        m->base = start - offset;
        m->file = file_of(name);
        n_mappings++;
    }
    fclose(f);
}

/* Prefixes of every encoding, and then the opcode map and the opcode. */
static enum kind classify(const uint8_t *b)
{
    int i = 0;

    if (b[0] == 0xcc)
        return TRAP;
    if (b[0] == 0x62) { /* EVEX: P0 P1 P2 opcode */
        if ((b[1] & 7) == 2 && b[4] >= 0xdc && b[4] <= 0xdf)
            return VAES;
        return (b[1] & 7) == 3 && b[4] == 0x44 ? VCLMUL : PLAIN;
    }
    if (b[0] == 0xc4) { /* VEX: map, then W vvvv L pp */
        int wide = (b[2] & 4) != 0;

        if ((b[1] & 31) == 2 && b[3] >= 0xdb && b[3] <= 0xdf)
            return wide ? VAES : AES;
        if ((b[1] & 31) == 3 && b[3] == 0xdf)
            return AES;
        return (b[1] & 31) == 3 && b[3] == 0x44 ? (wide ? VCLMUL : CLMUL) : PLAIN;
    }
    while (i < 3 && (b[i] == 0x66 || (b[i] & 0xf0) == 0x40))
        i++;
    if (b[i] != 0x0f)
        return PLAIN;
    if (b[i + 1] == 0x38 && b[i + 2] >= 0xc8 && b[i + 2] <= 0xcd)
        return SHA;
    if (b[i + 1] == 0x38 && b[i + 2] >= 0xdb && b[i + 2] <= 0xdf)
        return AES;
    if (b[i + 1] == 0x3a && b[i + 2] == 0xcc)
        return SHA;
    if (b[i + 1] == 0x3a && b[i + 2] == 0xdf)
        return AES;
    return b[i + 1] == 0x3a && b[i + 2] == 0x44 ? CLMUL : PLAIN;
}

static struct place *place_of(pid_t pid, uint64_t at)
{
    uint32_t slot = (uint32_t)(at * 0x9e3779b97f4a7c15u >> 44) % PLACES;
    struct iovec here, there;
    uint8_t bytes[16] = { 0 };
    struct place *p;

    for (p = &places[slot]; p->at != 0; p = &places[slot]) {
        if (p->at == at)
            return p;
        slot = (slot + 1) % PLACES;
    }
    here.iov_base = bytes;
    there.iov_base = (void *)at; /* NOLINT: an address of the other process */
    here.iov_len = there.iov_len = sizeof(bytes);
    /* The last instruction of a mapping may have fewer bytes behind it. */
    for (; there.iov_len > 0 && process_vm_readv(pid, &here, 1, &there, 1, 0) < 0; there.iov_len--)
        here.iov_len = there.iov_len - 1;
    p->at = at;
    p->kind = (uint8_t)classify(bytes);
    p->file = (uint8_t)file_of("?");
    for (int i = 0; i < n_mappings; i++)
        if (mappings[i].start <= at && at < mappings[i].end) {
            p->file = (uint8_t)mappings[i].file;
            p->offset = at - mappings[i].base;
        }
    return p;
}

static int wait_for(pid_t pid, int *signal)
{
    int status;

    if (waitpid(pid, &status, 0) != pid)
        die("waitpid");
    if (WIFEXITED(status) || WIFSIGNALED(status))
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    *signal = WSTOPSIG(status);
    return -1;
}

/* Single steps from behind one breakpoint to behind the next. */
static int span(pid_t pid)
{
    uint64_t last = 0;
    int ended, signal;

    for (;;) {
        uint64_t at;
        struct place *p;

        errno = 0;
        at = (uint64_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
        if (errno != 0)
            die("PTRACE_PEEKUSER");
        p = place_of(pid, at);
        /* A string instruction stops at each turn; it is one. */
        if (at != last && p->kind != TRAP) {
            files[p->file].count[p->kind]++;
            p->count++;
        }
        last = at;
        if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) != 0)
            die("PTRACE_SINGLESTEP");
        ended = wait_for(pid, &signal);
        if (ended >= 0 || p->kind == TRAP)
            return ended;
        if (signal != SIGTRAP)
            die("the program got a signal");
    }
}

int main(int argc, char **argv)
{
    int ended, signal = 0;
    long spans = 0;
    pid_t pid;

    if (argc < 2) {
        fprintf(stderr, "usage: steps PROGRAM ARGUMENT...\n");
        return 2;
    }
    pid = fork();
    if (pid == 0) {
        const char *preload = getenv("STEPS_PRELOAD");

        if (preload != NULL)
            setenv("LD_PRELOAD", preload, 1);
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
            die("ptrace");
        execv(argv[1], argv + 1);
        die(argv[1]);
    }
    if (pid < 0)
        die("fork");
    /* The stop at exec. */
    if (wait_for(pid, &signal) >= 0)
        die("the program did not start");
    for (int first = 1;; first = 0) {
        /* Nothing but breakpoints stops it: other signals go to it. */
        if (ptrace(PTRACE_CONT, pid, 0, first || signal == SIGTRAP ? 0 : signal) != 0)
            die("PTRACE_CONT");
        ended = wait_for(pid, &signal);
        if (ended >= 0)
            break;
        if (signal != SIGTRAP)
            continue;
        if (spans++ == 0)
            read_maps(pid);
        ended = span(pid);
        if (ended >= 0)
            break;
    }
    if (ended != 0) {
        fprintf(stderr, "steps: the program ended with %d\n", ended);
        return 1;
    }
    printf("spans %ld\n", spans);
    for (int i = 0; i < n_files; i++) {
        uint64_t sum = 0;

        for (int k = 0; k < KINDS; k++)
            sum += files[i].count[k];
        if (sum > 0)
            printf("code %s %llu\n", files[i].name, (unsigned long long)sum);
        for (int k = AES; k < KINDS; k++)
            if (files[i].count[k] > 0)
                printf("kind %s %s %llu\n", files[i].name, kind_names[k], (unsigned long long)files[i].count[k]);
    }
    if (getenv("STEPS_PLACES") != NULL)
        for (uint32_t i = 0; i < PLACES; i++)
            if (places[i].count > 0)
                printf("place %s %llx %llu\n", files[places[i].file].name, (unsigned long long)places[i].offset,
                       (unsigned long long)places[i].count);
    return 0;
}
