/*
 * clock.c: a preloaded library that moves a process's time of day while it
 * runs. TS_CLOCK names a file of text: "+3600" or "-600" moves the clock by
 * seconds, "=1900000000" stops it there; anything else leaves it alone. The
 * file is mapped, so writing to it (without cutting it) is all it takes.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LENGTH 24 /* of the file, at least */

static const char *setting;

__attribute__((constructor)) static void start(void)
{
    const char *name = getenv("TS_CLOCK");
    int fd = name != NULL ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *p;

    if (fd < 0)
        return;
    p = mmap(NULL, LENGTH, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (p != MAP_FAILED)
        setting = p;
}

static void move(struct timespec *ts)
{
    char text[LENGTH + 1] = "";

    if (setting == NULL)
        return;
    memcpy(text, setting, LENGTH);
    if (text[0] == '=') {
        ts->tv_sec = atoll(text + 1);
        ts->tv_nsec = 0;
    } else {
        ts->tv_sec += atoll(text);
    }
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int ret = (int)syscall(SYS_clock_gettime, id, ts);

    if (ret == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        move(ts);
    return ret;
}

time_t time(time_t *out)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (out != NULL)
        *out = ts.tv_sec;
    return ts.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}
