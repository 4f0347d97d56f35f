/* Preloaded into a process that writes a store: keeps a second folder as a disk would be after a loss of power,
 * where a file is as it was when it was last synced, and a deleted one is gone once its folder was synced.
 *
 * POWER_LOSS_FROM: the folder being written; POWER_LOSS_TO: what survives; POWER_LOSS_LIE: syncs do nothing. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int keep_file(const char *path, const char *to, const char *name) {
    char fresh[PATH_MAX], kept[PATH_MAX], buffer[65536];
    snprintf(fresh, sizeof fresh, "%s/.fresh", to);
    snprintf(kept, sizeof kept, "%s/%s", to, name);
    int in = open(path, O_RDONLY);
    if (in < 0) return 0; /* deleted while open: nothing to keep */
    int out = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out < 0) return -1;
    ssize_t got;
    while ((got = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, (size_t)got) != got) return -1;
    close(in);
    close(out);
    return got < 0 ? -1 : rename(fresh, kept);
}

static int forget_deleted(const char *from, const char *to) {
    DIR *folder = opendir(to);
    if (!folder) return -1;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char there[PATH_MAX], kept[PATH_MAX];
        if (entry->d_name[0] == '.') continue;
        snprintf(there, sizeof there, "%s/%s", from, entry->d_name);
        snprintf(kept, sizeof kept, "%s/%s", to, entry->d_name);
        if (access(there, F_OK) != 0) unlink(kept);
    }
    return closedir(folder);
}

static int sync_to_disk(int fd, long number) {
    const char *from = getenv("POWER_LOSS_FROM"), *to = getenv("POWER_LOSS_TO");
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!from || !to || length < 0) return (int)syscall(number, fd);
    path[length] = 0;
    size_t folder = strlen(from);
    if (strncmp(path, from, folder) != 0) return (int)syscall(number, fd);
    if (getenv("POWER_LOSS_LIE")) return 0;
    if (path[folder] == 0) return forget_deleted(from, to);
    return keep_file(path, to, path + folder + 1);
}

int fsync(int fd) { return sync_to_disk(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_to_disk(fd, SYS_fdatasync); }
