/*
 * plugin.c: a host without a libssl of its own loads a plugin that has one, as
 * Python, Prosody or Apache do: dlopen() with RTLD_LOCAL. The plugin is the
 * scenario "resume", built as a shared object, whose output this is.
 *
 *   TS_PLUGIN=FILE    another one, beside the default
 */
#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int bail(const char *what)
{
    printf("Bail out! %s\n", what != NULL ? what : "?");
    return 70;
}

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
    return ret;
}
