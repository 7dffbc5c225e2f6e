/*
 * faults.c: a preloaded library in which system calls fail while a process
 * runs. TS_FAULTS names a file of text, at least 64 bytes; each of these words
 * in it makes one of them fail (the file is mapped: writing to it is enough):
 *
 *   random   getrandom(): EAGAIN, as early at boot, or ENOSYS in a sandbox
 *   mlock    mmap() of memory that is locked: EAGAIN, the limit is reached
 *   map      mmap() of fresh memory: ENOMEM
 *   open     open() of whatever has "state" in its name: EMFILE
 *   disk     write() and pwrite() to files, and fsync(): ENOSPC, EIO
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LENGTH 64

static const char *faults;

__attribute__((constructor)) static void start(void)
{
    const char *name = getenv("TS_FAULTS");
    int fd = name != NULL ? (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0) : -1;
    long p;

    if (fd < 0)
        return;
    p = syscall(SYS_mmap, NULL, LENGTH, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (p != -1)
        faults = (const char *)p;
}

static int fails(const char *word, int error)
{
    if (faults == NULL || memmem(faults, LENGTH, word, strlen(word)) == NULL)
        return 0;
    errno = error;
    return 1;
}

ssize_t getrandom(void *buf, size_t n, unsigned flags)
{
    return fails("random", EAGAIN) ? -1 : syscall(SYS_getrandom, buf, n, flags);
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (fd == -1 && (flags & MAP_ANONYMOUS) != 0 && fails("map", ENOMEM))
        return MAP_FAILED;
    if ((flags & MAP_LOCKED) != 0 && fails("mlock", EAGAIN))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}

static int open_(int dir, const char *path, int flags, mode_t mode)
{
    if (strstr(path, "state") != NULL && fails("open", EMFILE))
        return -1;
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static mode_t mode_of(int flags, va_list more)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
}

/* Both names of both: which of them is called is for the headers to say. */
#define OPEN(name)                                      \
    int name(const char *path, int flags, ...)          \
    {                                                   \
        va_list more;                                   \
        int fd;                                         \
                                                        \
        va_start(more, flags);                          \
        fd = open_(AT_FDCWD, path, flags, mode_of(flags, more)); \
        va_end(more);                                   \
        return fd;                                      \
    }
#define OPENAT(name)                                    \
    int name(int dir, const char *path, int flags, ...) \
    {                                                   \
        va_list more;                                   \
        int fd;                                         \
                                                        \
        va_start(more, flags);                          \
        fd = open_(dir, path, flags, mode_of(flags, more)); \
        va_end(more);                                   \
        return fd;                                      \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

static int is_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

ssize_t write(int fd, const void *buf, size_t n)
{
    return faults != NULL && is_file(fd) && fails("disk", ENOSPC) ? -1 : syscall(SYS_write, fd, buf, n);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    return faults != NULL && is_file(fd) && fails("disk", ENOSPC) ? -1 : syscall(SYS_pwrite64, fd, buf, n, at);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off_t at)
{
    return pwrite(fd, buf, n, at);
}

int fsync(int fd)
{
    return fails("disk", EIO) ? -1 : (int)syscall(SYS_fsync, fd);
}
