/* SPDX-License-Identifier: Apache-2.0 */
#include "upload/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static const char *source_kind(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a directory";
    if (S_ISFIFO(mode))
        return "a FIFO";
    if (S_ISSOCK(mode))
        return "a socket";
    return "a device";
}

/* A path may be four times as long as a message, which must not lose its end, the cause. */
static void source_name(char name[static SOURCE_NAME_SIZE], const char *path)
{
    enum { FRONT = 150, BACK = 350 };
    size_t len = strlen(path);
    if (!len)
        path = "'' (an empty name)";
    if (len < SOURCE_NAME_SIZE)
        snprintf(name, SOURCE_NAME_SIZE, "%s", path);
    else
        snprintf(name, SOURCE_NAME_SIZE, "%.*s...%s", FRONT, path, path + len - BACK);
}

static int source_check_kind(const struct source *source, mode_t mode, struct err *e)
{
    if (S_ISREG(mode))
        return 0;
    return err_set(e, ERR_FILE, EINVAL, "%s is %s; only regular files will do", source->name,
                   source_kind(mode));
}

/*
 * FUSE past the page cache (FOPEN_DIRECT_IO) may answer short, and since Linux 6.5 sendfile(2) and
 * splice(2) put that into the page cache all the same, zeros behind it. Such a file can't be
 * mapped, neither by itself nor as the lower file of overlayfs.
 */
static int source_check_page_cache(const struct source *source, int fd, struct err *e)
{
    struct statfs fs;
    /* A daemon need not answer that, so who fails may be FUSE. */
    if (fstatfs(fd, &fs) == 0 && fs.f_type != FUSE_SUPER_MAGIC &&
        fs.f_type != OVERLAYFS_SUPER_MAGIC)
        return 0;
    void *map = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) {
        munmap(map, 1);
        return 0;
    }
    if (errno == ENODEV)
        return err_set(e, ERR_FILE, EOPNOTSUPP,
                       "%s is on a FUSE file system that reads past the page cache (direct_io): "
                       "sendfile(2) and splice(2) may get zeros for its bytes; copy it to a "
                       "regular file first",
                       source->name);
    return err_sys(e, ERR_FILE, errno,
                   "cannot map %s to learn if its FUSE file system reads past the page cache",
                   source->name);
}

static int source_fail_open(const struct source *source, int errnum, struct err *e)
{
    /* Only of a lease that conflicts, fcntl(2): the kernel has told its holder to give it up. */
    if (errnum == EWOULDBLOCK)
        return err_set(e, ERR_FILE, errnum,
                       "cannot open %s: another program holds a lease on it (as file servers do) "
                       "and was asked to give it up; try again",
                       source->name);
    return err_sys(e, err_class_of(errnum, ERR_FILE), errnum, "cannot open %s", source->name);
}

/* Network file systems and FUSE keep attributes for seconds or for good: ask who has the file. */
static int source_stat(int fd, struct statx *st)
{
    return statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, st);
}

int source_open(struct source *source, const char *path, struct err *e)
{
    *source = (struct source){.fd = -1};
    source_name(source->name, path);

    /* Before it is opened, too: that alone does something to a device, and lets go whoever waits to
     * write into a FIFO. */
    struct stat before;
    int rc = stat(path, &before) == 0 ? source_check_kind(source, before.st_mode, e) : 0;
    if (rc < 0)
        return rc;
    /* O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return source_fail_open(source, errno, e);

    struct statx st;
    if (source_stat(fd, &st) < 0) {
        rc = err_sys(e, ERR_FILE, errno, "cannot stat %s", source->name);
        goto fail;
    }
    rc = source_check_kind(source, st.stx_mode, e);
    if (rc < 0)
        goto fail;
    if (st.stx_size == 0) {
        /* procfs and sysfs say 0 and read more: an empty object would be a silent loss. */
        char byte;
        ssize_t n = pread(fd, &byte, 1, 0);
        if (n < 0) {
            rc = err_sys(e, ERR_FILE, errno, "cannot read %s", source->name);
            goto fail;
        }
        if (n > 0) {
            rc =
                err_set(e, ERR_FILE, EINVAL,
                        "%s says that it has 0 bytes, but has more (as files in /proc do); copy it "
                        "to a regular file first",
                        source->name);
            goto fail;
        }
    }
    rc = source_check_page_cache(source, fd, e);
    if (rc < 0)
        goto fail;
    /* Left on, sendfile(2) would not wait for the disk. */
    if (fcntl(fd, F_SETFL, 0) < 0) {
        rc = err_sys(e, ERR_FILE, errno, "cannot use %s", source->name);
        goto fail;
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    source->fd = fd;
    source->length = st.stx_size;
    source->mtime = st.stx_mtime;
    source->ctime = st.stx_ctime;
    return 0;
fail:
    close(fd);
    return rc;
}

static void time_format(char text[static 40], const struct statx_timestamp *t)
{
    struct tm tm;
    time_t seconds = t->tv_sec;
    if (!gmtime_r(&seconds, &tm) || !strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm))
        snprintf(text, 40, "%lld", (long long)t->tv_sec);
    size_t len = strlen(text);
    snprintf(text + len, 40 - len, ".%09uZ", t->tv_nsec);
}

/* Append what moved, if it did. */
static bool time_describe_change(char *text, const char *name, const struct statx_timestamp *from,
                                 const struct statx_timestamp *to)
{
    if (from->tv_sec == to->tv_sec && from->tv_nsec == to->tv_nsec)
        return false;
    char old[40], new[40];
    time_format(old, from);
    time_format(new, to);
    size_t len = strlen(text);
    snprintf(text + len, SOURCE_CHANGE_SIZE - len, "%s%s from %s to %s", len ? ", " : "", name, old,
             new);
    return true;
}

bool source_describe_change(const struct source *source, char text[static SOURCE_CHANGE_SIZE])
{
    struct statx st;
    text[0] = 0;
    if (source_stat(source->fd, &st) < 0) {
        snprintf(text, SOURCE_CHANGE_SIZE, "it can't be looked at any more, errno %d", errno);
        return true;
    }
    if (st.stx_size != source->length)
        snprintf(text, SOURCE_CHANGE_SIZE, "size from %" PRIu64 " to %llu bytes", source->length,
                 (unsigned long long)st.stx_size);
    bool contents = time_describe_change(text, "mtime", &source->mtime, &st.stx_mtime) || text[0];
    bool ctime_moved = time_describe_change(text, "ctime", &source->ctime, &st.stx_ctime);
    if (ctime_moved && !contents) {
        size_t len = strlen(text);
        snprintf(text + len, SOURCE_CHANGE_SIZE - len,
                 " alone: its name, links or attributes, or contents with the mtime set back");
    }
    return contents || ctime_moved;
}

void source_close(struct source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
}
