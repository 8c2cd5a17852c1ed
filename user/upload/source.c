/* SPDX-License-Identifier: Apache-2.0 */
#include "upload/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
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

int source_open(struct source *source, const char *path, struct err *e)
{
    *source = (struct source){.fd = -1, .path = path};

    /* O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever. */
    int rc, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_sys(e, ERR_FILE, errno, "cannot open %s", path);

    struct stat st;
    if (fstat(fd, &st) < 0) {
        rc = err_sys(e, ERR_FILE, errno, "cannot stat %s", path);
        goto fail;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = err_set(e, ERR_FILE, EINVAL, "%s is %s; only regular files will do", path,
                     source_kind(st.st_mode));
        goto fail;
    }
    if (st.st_size == 0) {
        /* procfs and sysfs say 0 and read more: an empty object would be a silent loss. */
        char byte;
        ssize_t n = pread(fd, &byte, 1, 0);
        if (n < 0) {
            rc = err_sys(e, ERR_FILE, errno, "cannot read %s", path);
            goto fail;
        }
        if (n > 0) {
            rc =
                err_set(e, ERR_FILE, EINVAL,
                        "%s says that it has 0 bytes, but has more (as files in /proc do); copy it "
                        "to a regular file first",
                        path);
            goto fail;
        }
    }
    /* Left on, sendfile(2) would not wait for the disk. */
    if (fcntl(fd, F_SETFL, 0) < 0) {
        rc = err_sys(e, ERR_FILE, errno, "cannot use %s", path);
        goto fail;
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    source->fd = fd;
    source->length = (uint64_t)st.st_size;
    source->mtime = st.st_mtim;
    return 0;
fail:
    close(fd);
    return rc;
}

bool source_has_changed(const struct source *source)
{
    struct stat st;
    return fstat(source->fd, &st) < 0 || (uint64_t)st.st_size != source->length ||
           st.st_mtim.tv_sec != source->mtime.tv_sec || st.st_mtim.tv_nsec != source->mtime.tv_nsec;
}

void source_close(struct source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
}
