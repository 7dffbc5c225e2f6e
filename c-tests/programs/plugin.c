/*
 * plugin.c: a host without a libssl of its own loads a plugin that has one, as
 * Python, Prosody or Apache do: dlopen() with RTLD_LOCAL. The plugin is the
 * scenario "resume", built as a shared object, whose output this is.
 *
 * plugin_threads.c does the same in a host that has threads already.
 *
 *   TS_PLUGIN=FILE    another one, beside the default
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <dlfcn.h>
#include <libgen.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int bail(const char *what)
{
    printf("Bail out! %s\n", what != NULL ? what : "?");
    return 70;
}

#ifdef THREADS
static atomic_int going, over;

/* Allocates, and asks the dynamic linker, until all is over. */
static void *busy(void *unused)
{
    atomic_fetch_add(&going, 1);
    while (!atomic_load(&over)) {
        free(malloc(4000));
        (void)dlsym(RTLD_DEFAULT, "SSL_CTX_new");
        sched_yield();
    }
    return unused;
}
#endif

int main(int argc, char **argv)
{
    const char *name = getenv("TS_PLUGIN");
    char dir[2048], path[4096];
    int (*plugin)(void);
    void *handle, *symbol;
    int ret;

    if (argc < 1 || strlen(argv[0]) >= sizeof(dir))
        return bail("where am I?");
    strcpy(dir, argv[0]);
    snprintf(path, sizeof(path), "%s/../plugins/%s", dirname(dir),
             name != NULL ? name : "resume.so");
#ifdef THREADS
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, busy, NULL) != 0)
            return bail("no thread");
    while (atomic_load(&going) < THREADS)
        sched_yield();
#endif
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return bail(dlerror());
    symbol = dlsym(handle, "main");
    if (symbol == NULL)
        return bail(dlerror());
    memcpy(&plugin, &symbol, sizeof(plugin));
    ret = plugin();
    /* As a host does when it unloads: what libssl calls back must still be there. */
    dlclose(handle);
#ifdef THREADS
    atomic_store(&over, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
#endif
    return ret;
}
