/* seen.c: whether the calls that libssl makes of its own functions can be seen. Part of ts.h. */
#define _GNU_SOURCE /* dladdr, dl_iterate_phdr */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>

#include "ts.h"

typedef struct look {
    uintptr_t inside;
    int found;
} look;

/* Does a table of relocations name the function? */
static int names(const ElfW(Rela) *r, size_t size, const ElfW(Sym) *symbols,
                 const char *strings, const char *name)
{
    for (size_t i = 0; r != NULL && i < size / sizeof(*r); i++)
        if (strcmp(strings + symbols[ELF64_R_SYM(r[i].r_info)].st_name, name) == 0)
            return 1;
    return 0;
}

static int step(struct dl_phdr_info *info, size_t size, void *arg)
{
    look *l = arg;
    const ElfW(Dyn) *d = NULL;
    const ElfW(Rela) *rela = NULL, *jmprel = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    size_t relasz = 0, pltrelsz = 0;
    int is_it = 0;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + p->p_vaddr;

        if (p->p_type == PT_LOAD && l->inside >= at && l->inside < at + p->p_memsz)
            is_it = 1;
        if (p->p_type == PT_DYNAMIC)
            d = (const void *)at;
    }
    if (!is_it || d == NULL)
        return 0;
    for (; d->d_tag != DT_NULL; d++) {
        /* glibc has added the base address to these, musl has not. */
        uintptr_t at = d->d_un.d_ptr < info->dlpi_addr ? d->d_un.d_ptr + info->dlpi_addr : d->d_un.d_ptr;

        switch (d->d_tag) {
        case DT_RELA: rela = (const void *)at; break;
        case DT_RELASZ: relasz = d->d_un.d_val; break;
        case DT_JMPREL: jmprel = (const void *)at; break;
        case DT_PLTRELSZ: pltrelsz = d->d_un.d_val; break;
        case DT_SYMTAB: symbols = (const void *)at; break;
        case DT_STRTAB: strings = (const void *)at; break;
        default: break;
        }
    }
    l->found = symbols != NULL && strings != NULL
        && (names(rela, relasz, symbols, strings, "i2d_SSL_SESSION")
            || names(jmprel, pltrelsz, symbols, strings, "i2d_SSL_SESSION"));
    return 1;
}

int ts_libssl_is_seen(void)
{
    look l = { 0, 0 };
    void *mark = dlsym(RTLD_DEFAULT, "SSL_CTX_get_ex_data");

#if defined(__x86_64__) || defined(__aarch64__)
    l.inside = (uintptr_t)mark;
    dl_iterate_phdr(step, &l);
#else
    (void)mark;
    (void)step;
#endif
    return l.found;
}
