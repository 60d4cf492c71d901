// What rustc asks a dlltool for: an import library of a list of names. Rust brings one along that needs an assembler, and a linker
// that can do the same without.
#include <process.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **given) {
    char list[4096] = "", library[4096] = "";
    for (int at = 1; at + 1 < count; at++) {
        if (strcmp(given[at], "-d") == 0) snprintf(list, sizeof list, "\"/def:%s\"", given[at + 1]);
        if (strcmp(given[at], "-l") == 0) snprintf(library, sizeof library, "\"/out:%s\"", given[at + 1]);
    }
    return (int)_spawnl(_P_WAIT, getenv("RUST_LLD"), "rust-lld", "-flavor", "link", "/lib", "/machine:x64", list, library, NULL);
}
