// What git asks a shell for when it clones from a folder: one command of plain and quoted words.
#include <process.h>
#include <stdio.h>
#include <string.h>

int main(int count, char **given) {
    if (count < 3 || strcmp(given[1], "-c") != 0) return 127;
    char words[8192], *to = words, *starts[16];
    int used = 0, quoted = 0;
    starts[used++] = "git";
    // "git-upload-pack" is a word to git itself.
    const char *from = given[2];
    if (strncmp(from, "git-", 4) == 0) from += 4;
    else if (strncmp(from, "git ", 4) == 0) from += 4;
    else return 127;
    starts[used++] = to;
    *to++ = '"';
    for (; *from && to < words + sizeof words - 4 && used < 15; from++) {
        if (*from == '\'') quoted = !quoted;
        else if (*from == ' ' && !quoted) *to++ = '"', *to++ = 0, starts[used++] = to, *to++ = '"';
        else if (!quoted && strchr("|&;<>()$`\\\"*?[#~%", *from)) return 127;
        else *to++ = *from;
    }
    *to++ = '"', *to = 0;
    starts[used] = NULL;
    return (int)_spawnvp(_P_WAIT, "git", (const char *const *)starts);
}
