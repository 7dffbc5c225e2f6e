/*
 * two.c: one process that holds several libssl at once, each brought in by a
 * plugin (plugin.c) as a language module would:
 *
 *     two [-m] PLUGIN…
 *
 * -m loads each plugin into a link namespace of its own (dlmopen). Prints, for
 * each plugin, what became of a ticket at its own context and at another.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef const char *(*resume_fn)(int another_context);

int main(int argc, char **argv)
{
    resume_fn resume[8];
    int separate = argc > 1 && strcmp(argv[1], "-m") == 0, n = 0;

    for (int i = 1 + separate; i < argc && n < 8; i++) {
        void *plugin = separate
            ? dlmopen(LM_ID_NEWLM, argv[i], RTLD_NOW | RTLD_LOCAL)
            : dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
        void *symbol = plugin != NULL ? dlsym(plugin, "two_resume") : NULL;

        if (symbol == NULL) {
            fprintf(stderr, "two: %s\n", dlerror());
            return 2;
        }
        memcpy(&resume[n++], &symbol, sizeof(symbol));
    }
    /* In turn, so that each finds whatever the other has left behind. */
    for (int another = 0; another < 2; another++)
        for (int i = 0; i < n; i++)
            printf("%s, %s context: %s\n", argv[1 + separate + i],
                   another ? "another" : "the same", resume[i](another));
    return 0;
}
