/* Make calls on files below a folder fail with EIO, as on a dying disk. Loaded by LD_PRELOAD.
 *
 *   EIO_BELOW   the folder
 *   EIO_CALLS   the calls that fail, some of: read write fsync
 *   EIO_TIMES   number of failures in each process; -1 for all calls
 *   EIO_WHILE   calls fail only while this file exists; empty for always
 *   EIO_NUMBER  number of another error than EIO
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *below, *calls, *switch_file;
static atomic_long failures_left;
static int number = EIO;

__attribute__((constructor)) static void begin(void) {
    below = getenv("EIO_BELOW");
    calls = getenv("EIO_CALLS");
    switch_file = getenv("EIO_WHILE");
    const char *times = getenv("EIO_TIMES"), *other = getenv("EIO_NUMBER");
    number = other ? atoi(other) : EIO;
    atomic_store(&failures_left, times ? atol(times) : 0);
}

static int fails(int fd, const char *call) {
    char link[64], path[4096];
    if (!below || !calls || !strstr(calls, call)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int saved_errno = errno;
    ssize_t length = readlink(link, path, sizeof path - 1);
    int active = !switch_file || !*switch_file || access(switch_file, F_OK) == 0;
    errno = saved_errno;
    if (length < 0 || !active) return 0;
    path[length] = 0;
    size_t prefix = strlen(below);
    if (strncmp(path, below, prefix) || (path[prefix] != '/' && path[prefix])) return 0;
    long remaining = atomic_load(&failures_left);
    do {
        if (remaining == 0) return 0;
    } while (remaining > 0 && !atomic_compare_exchange_weak(&failures_left, &remaining, remaining - 1));
    errno = number;
    return 1;
}

#define CALL(type, name, kind, parameters, arguments)                                   \
    type name parameters {                                                              \
        static type(*real) parameters;                                                  \
        if (fails(fd, kind)) return -1;                                                 \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                  \
        return real arguments;                                                          \
    }

CALL(ssize_t, write, "write", (int fd, const void *data, size_t size), (fd, data, size))
CALL(ssize_t, pwrite64, "write", (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
CALL(ssize_t, writev, "write", (int fd, const struct iovec *parts, int count), (fd, parts, count))
CALL(ssize_t, read, "read", (int fd, void *data, size_t size), (fd, data, size))
CALL(ssize_t, pread64, "read", (int fd, void *data, size_t size, off64_t at), (fd, data, size, at))
CALL(int, fsync, "fsync", (int fd), (fd))
CALL(int, fdatasync, "fsync", (int fd), (fd))
