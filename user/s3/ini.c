/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/ini.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"

/*
 * The rules are those of Python's configparser as botocore uses it, which is what the AWS command
 * line reads these files with: a line that is indented deeper than the key before it goes on with
 * that key's value; below a key with an empty value such lines are sub-keys; there are no comments
 * behind values.
 */
struct reader {
    const char *name;
    size_t line_number;
    ini_entry_fn *fn;
    void *ctx;
    struct err *e;
    bool in_section;
    struct buf section;
    bool has_key; /* `key` and `value` are not yet given to fn */
    struct buf key, value;
    size_t key_indent;
    bool has_sub_keys;
};

static int line_error(const struct reader *r, const char *why)
{
    return err_set(r->e, ERR_USAGE, EINVAL, "%s, line %zu: %s", r->name, r->line_number, why);
}

static int no_memory(struct err *e, const char *name)
{
    return err_set(e, ERR_ENV, ENOMEM, "%s: no memory to read it", name);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Cuts blanks off both ends, in place. */
static char *trim(char *s)
{
    s += strspn(s, " \t");
    size_t n = strlen(s);
    while (n && is_blank(s[n - 1]))
        s[--n] = 0;
    return s;
}

static void set_lower(struct buf *b, const char *s)
{
    for (; *s; s++)
        buf_add(b, (char[]){(*s >= 'A' && *s <= 'Z') ? (char)(*s + 32) : *s}, 1);
}

/* An entry is given out when the next line shows that its value has ended. */
static int flush(struct reader *r)
{
    if (!r->has_key)
        return 0;
    r->has_key = false;
    if (r->has_sub_keys)
        return 0;
    return r->fn(r->ctx, r->section.data, r->key.data, r->value.data);
}

static int section_line(struct reader *r, char *line)
{
    int ret = flush(r);
    if (ret)
        return ret;
    char *end = strchr(line, ']');
    if (!end)
        return line_error(r, "'[' without ']'");
    const char *rest = end + 1 + strspn(end + 1, " \t");
    if (*rest && *rest != '#' && *rest != ';')
        return line_error(r, "something behind ']'");
    *end = 0;
    const char *section = trim(line + 1);
    if (!*section)
        return line_error(r, "a section without a name");
    buf_reset(&r->section);
    buf_add_str(&r->section, section);
    r->in_section = true;
    if (r->section.failed)
        return no_memory(r->e, r->name);
    return r->fn(r->ctx, r->section.data, NULL, NULL);
}

static int key_line(struct reader *r, char *line, size_t indent)
{
    int ret = flush(r);
    if (ret)
        return ret;
    if (!r->in_section)
        return line_error(r, "a key in front of the first [section]");
    char *delimiter = strpbrk(line, "=:");
    if (!delimiter)
        return line_error(r, "neither [section] nor key = value");
    *delimiter = 0;
    const char *key = trim(line);
    if (!*key)
        return line_error(r, "no key in front of '='");
    buf_reset(&r->key);
    set_lower(&r->key, key);
    buf_reset(&r->value);
    buf_add_str(&r->value, trim(delimiter + 1));
    if (r->key.failed || r->value.failed)
        return no_memory(r->e, r->name);
    r->key_indent = indent;
    r->has_key = true;
    r->has_sub_keys = false;
    return 0;
}

static int continuation_line(struct reader *r, char *line)
{
    if (r->value.len) {
        buf_add_str(&r->value, "\n");
        buf_add_str(&r->value, line);
        return r->value.failed ? no_memory(r->e, r->name) : 0;
    }
    r->has_sub_keys = true;
    char *delimiter = strchr(line, '=');
    if (!delimiter)
        return line_error(r, "an indented line that is not key = value");
    *delimiter = 0;
    const char *key = trim(line);
    if (!*key)
        return line_error(r, "no key in front of '='");
    struct buf name;
    buf_init(&name, 2 * INI_LINE_BYTES_MAX);
    buf_addf(&name, "%s.", r->key.data);
    set_lower(&name, key);
    int ret = name.failed ? no_memory(r->e, r->name)
                          : r->fn(r->ctx, r->section.data, name.data, trim(delimiter + 1));
    buf_free(&name);
    return ret;
}

static int one_line(struct reader *r, char *line)
{
    for (const char *p = line; *p; p++)
        if ((unsigned char)*p < 0x20 ? *p != '\t' : *p == 0x7f)
            return line_error(r, "a control character");
    size_t indent = strspn(line, " \t");
    line = trim(line);
    if (!*line || *line == '#' || *line == ';')
        return 0;
    if (r->has_key && indent > r->key_indent)
        return continuation_line(r, line);
    return *line == '[' ? section_line(r, line) : key_line(r, line, indent);
}

static int read_lines(struct reader *r, struct buf *line, const char *text, size_t n)
{
    const char *end = text + n;
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    while (text < end) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        if (!line_end)
            line_end = end;
        size_t bytes = (size_t)(line_end - text);
        r->line_number++;
        if (bytes && text[bytes - 1] == '\r')
            bytes--;
        if (bytes > INI_LINE_BYTES_MAX)
            return line_error(r, "longer than 8 KiB");
        if (memchr(text, 0, bytes))
            return line_error(r, "a control character");
        buf_reset(line);
        buf_add(line, text, bytes);
        if (line->failed)
            return no_memory(r->e, r->name);
        int ret = one_line(r, line->data);
        if (ret)
            return ret;
        text = line_end < end ? line_end + 1 : end;
    }
    return flush(r);
}

int ini_parse(const char *name, const char *text, size_t n, ini_entry_fn *fn, void *ctx,
              struct err *e)
{
    struct reader r = {.name = name, .fn = fn, .ctx = ctx, .e = e};
    struct buf line;
    buf_init(&line, INI_LINE_BYTES_MAX);
    buf_init(&r.section, INI_LINE_BYTES_MAX);
    buf_init(&r.key, INI_LINE_BYTES_MAX);
    buf_init(&r.value, INI_FILE_BYTES_MAX);
    int ret = read_lines(&r, &line, text, n);
    buf_free(&r.value);
    buf_free(&r.key);
    buf_free(&r.section);
    buf_free(&line);
    return ret;
}

static int read_all(int fd, const char *path, struct buf *text, struct err *e)
{
    char piece[4096];
    ssize_t n = 1;
    int ret = 0;
    while (ret == 0 && n != 0) {
        n = read(fd, piece, sizeof piece);
        if (n > 0)
            buf_add(text, piece, (size_t)n);
        if (n < 0 && errno != EINTR) {
            err_sys(e, ERR_USAGE, errno, "%s: cannot be read", path);
            ret = -EINVAL; /* -ENOENT, whoever says it, would mean that there is no file */
        } else if (text->out_of_memory) {
            ret = no_memory(e, path);
        } else if (text->failed) {
            err_set(e, ERR_USAGE, EFBIG, "%s: larger than %d bytes", path, INI_FILE_BYTES_MAX);
            ret = -EINVAL;
        }
    }
    explicit_bzero(piece, sizeof piece);
    return ret;
}

/* A file is read more than once (for settings, for credentials), which a pipe cannot be. /dev/null
 * is a usual way to say "none". */
static int check_kind(int fd, const char *path, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(e, ERR_USAGE, errno, "%s: cannot be read", path);
    if (S_ISDIR(st.st_mode))
        return err_sys(e, ERR_USAGE, EISDIR, "%s: cannot be read", path);
    if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
        return err_set(e, ERR_USAGE, EINVAL,
                       "%s: is no regular file; a pipe, as <(command) makes one, cannot be read "
                       "twice: write it to a file",
                       path);
    return 0;
}

int ini_read(const char *path, ini_entry_fn *fn, void *ctx, struct err *e)
{
    struct buf text;
    buf_init(&text, INI_FILE_BYTES_MAX);
    /* O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return -ENOENT;
    if (fd < 0)
        return err_sys(e, err_class_of(errno, ERR_USAGE), errno, "%s: cannot be opened", path);
    int ret = check_kind(fd, path, e);
    if (!ret)
        ret = read_all(fd, path, &text, e);
    if (!ret)
        ret = ini_parse(path, text.data, text.len, fn, ctx, e);
    io_close(&fd);
    buf_free(&text);
    return ret;
}
