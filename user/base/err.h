/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One way to say what went wrong. A `struct err` carries the sentence that the user reads (the
 * thing, the cause, the next step) and the class that decides the exit code.
 *
 * Convention of the whole program: a function that can fail for a reason that a user should read
 * takes a `struct err *` as its last argument, returns 0 or a negative errno, and has filled the
 * err exactly when it returns a negative value. The innermost function that knows the thing writes
 * the sentence; callers above it pass it on.
 */
#ifndef S3_KTLS_BASE_ERR_H
#define S3_KTLS_BASE_ERR_H

/* The exit codes of the program. README.md has the same table. */
enum err_class {
    ERR_NONE = 0,
    ERR_USAGE = 1, /* the command line or the configuration */
    ERR_FILE = 2,  /* the local file */
    ERR_ENV = 3,   /* kernel, BPF, privileges, memory, descriptors */
    ERR_NET = 4,   /* name resolution, TCP, TLS, a peer that does not speak HTTP */
    ERR_STORE = 5, /* the store answered, and refused */
    ERR_INTEGRITY =
        6, /* bytes hashed, sent and announced differ, or the store saw another digest */
    ERR_SIGINT = 130,
    ERR_SIGTERM = 143,
};

/* Room for a key of 1,024 bytes, a name and what is said about them. */
enum { ERR_TEXT_BYTES = 2048 };

struct err {
    enum err_class class;
    int errnum; /* positive errno, or 0 if none fits */
    char text[ERR_TEXT_BYTES];
};

/*
 * Fill `e` and return -errnum (-EINVAL if errnum is 0), so that a caller can write
 * `return err_set(e, ...)`. `e` may be NULL: only the value is returned then. Control characters
 * in the result (names of files and answers of servers are printed) are replaced by '?'. A text
 * that is too long is cut, and ends in "...".
 */
int err_set(struct err *e, enum err_class class, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* `otherwise`, but ERR_ENV for errors that are a want of memory or of descriptors, whatever was
 * being done. */
enum err_class err_class_of(int errnum, enum err_class otherwise);

/* As err_set(), and adds ": " and the system's text for errnum, which is not cut. */
int err_sys(struct err *e, enum err_class class, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
