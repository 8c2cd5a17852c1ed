/* SPDX-License-Identifier: Apache-2.0 */
#include "http/uri.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { URL_BYTES_MAX = 2048, LABEL_BYTES_MAX = 63 };

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_unreserved(char c)
{
    return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* RFC 1123 host names, and '_', which container networks put into theirs. */
static bool host_name_is_valid(const char *host)
{
    size_t label_bytes = 0;
    for (const char *p = host; *p; p++) {
        if (*p == '.') {
            if (!label_bytes)
                return false;
            label_bytes = 0;
        } else if (!(is_alnum(*p) || *p == '-' || *p == '_') || ++label_bytes > LABEL_BYTES_MAX) {
            return false;
        }
    }
    return label_bytes > 0;
}

/* `port` points behind the colon. 0 if it is no port. */
static uint16_t port_parse(const char *port, size_t n)
{
    if (!n || n > 5)
        return 0;
    unsigned value = 0;
    for (size_t i = 0; i < n; i++) {
        if (port[i] < '0' || port[i] > '9')
            return 0;
        value = value * 10 + (unsigned)(port[i] - '0');
    }
    return value > UINT16_MAX ? 0 : (uint16_t)value;
}

static int host_parse(struct uri_endpoint *out, const char *host, size_t n, bool is_ipv6,
                      struct err *e)
{
    if (n >= sizeof out->host)
        return err_set(e, ERR_USAGE, 0, "endpoint URL: the host name is longer than %d characters",
                       URI_HOST_SIZE - 1);
    for (size_t i = 0; i < n; i++)
        out->host[i] = (host[i] >= 'A' && host[i] <= 'Z') ? (char)(host[i] + 32) : host[i];
    out->host[n] = 0;
    out->host_is_ipv6 = is_ipv6;
    struct in6_addr address;
    bool valid =
        is_ipv6 ? inet_pton(AF_INET6, out->host, &address) == 1 : host_name_is_valid(out->host);
    if (!valid)
        return err_set(e, ERR_USAGE, 0, "endpoint URL: '%s' is not a valid %s", out->host,
                       is_ipv6 ? "IPv6 address" : "host name or address");
    return 0;
}

static int authority_parse(struct uri_endpoint *out, const char *s, size_t n, struct err *e)
{
    const char *host = s, *end = s + n, *host_end, *port;
    bool is_ipv6 = n && *s == '[';
    if (is_ipv6) {
        host = s + 1;
        host_end = memchr(host, ']', (size_t)(end - host));
        if (!host_end)
            return err_set(e, ERR_USAGE, 0, "endpoint URL: '[' without ']' in the host");
        port = host_end + 1;
        if (port < end && *port != ':')
            return err_set(e, ERR_USAGE, 0, "endpoint URL: only a port can follow ']'");
    } else {
        host_end = memchr(s, ':', n);
        if (!host_end)
            host_end = end;
        port = host_end;
    }
    int r = host_parse(out, host, (size_t)(host_end - host), is_ipv6, e);
    if (r < 0)
        return r;
    uint16_t default_port = out->https ? 443 : 80;
    out->port = default_port;
    if (port < end) {
        out->port = port_parse(port + 1, (size_t)(end - port - 1));
        if (!out->port)
            return err_set(e, ERR_USAGE, 0, "endpoint URL: the port must be a number from 1 to %d",
                           UINT16_MAX);
    }
    out->port_is_default = out->port == default_port;
    return 0;
}

/* Only characters that percent-coding leaves alone: the signature covers the path as it is sent,
 * and stores decode and encode it again before they compare. */
static int path_parse(struct uri_endpoint *out, const char *path, struct err *e)
{
    size_t n = strlen(path);
    while (n && path[n - 1] == '/')
        n--;
    if (n >= sizeof out->path)
        return err_set(e, ERR_USAGE, 0, "endpoint URL: the path is longer than %d characters",
                       URI_PATH_SIZE - 1);
    size_t component = 0; /* where the current one starts */
    for (size_t i = 0; i <= n && n; i++) {
        if (i < n && path[i] != '/') {
            if (!is_unreserved(path[i]))
                return err_set(e, ERR_USAGE, 0,
                               "endpoint URL: the path may have letters, digits and - . _ ~ /");
            continue;
        }
        size_t bytes = i - component;
        bool is_dots = (bytes == 1 && path[component] == '.') ||
                       (bytes == 2 && path[component] == '.' && path[component + 1] == '.');
        if (i && (!bytes || is_dots))
            return err_set(e, ERR_USAGE, 0,
                           "endpoint URL: the path has an empty, '.' or '..' part");
        component = i + 1;
    }
    memcpy(out->path, path, n);
    out->path[n] = 0;
    return 0;
}

int uri_parse_endpoint(struct uri_endpoint *out, const char *url, struct err *e)
{
    *out = (struct uri_endpoint){0};
    size_t n = strnlen(url, URL_BYTES_MAX + 1);
    if (n > URL_BYTES_MAX)
        return err_set(e, ERR_USAGE, 0, "endpoint URL: longer than %d characters", URL_BYTES_MAX);
    for (size_t i = 0; i < n; i++)
        if (url[i] <= ' ' || url[i] >= 0x7f)
            return err_set(e, ERR_USAGE, 0,
                           "endpoint URL: a space, a control or a non-ASCII character in it");
    const char *rest;
    if (strncasecmp(url, "https://", 8) == 0) {
        out->https = true;
        rest = url + 8;
    } else if (strncasecmp(url, "http://", 7) == 0) {
        rest = url + 7;
    } else {
        return err_set(e, ERR_USAGE, 0, "endpoint URL: must begin with https:// or http://");
    }
    /* The URL itself is not repeated in these messages: it may hold a password. */
    size_t authority_bytes = strcspn(rest, "/?#");
    if (memchr(rest, '@', authority_bytes))
        return err_set(e, ERR_USAGE, 0,
                       "endpoint URL: a user name or password in it; give credentials by "
                       "environment or file");
    if (strpbrk(rest, "?#"))
        return err_set(e, ERR_USAGE, 0, "endpoint URL: a query (?) or fragment (#) has no meaning");
    if (!authority_bytes)
        return err_set(e, ERR_USAGE, 0, "endpoint URL: no host in it");
    int r = authority_parse(out, rest, authority_bytes, e);
    return r < 0 ? r : path_parse(out, rest + authority_bytes, e);
}

void uri_host_header(const struct uri_endpoint *endpoint, struct buf *out)
{
    buf_addf(out, endpoint->host_is_ipv6 ? "[%s]" : "%s", endpoint->host);
    if (!endpoint->port_is_default)
        buf_addf(out, ":%u", endpoint->port);
}

void uri_encode(struct buf *out, const char *s, bool keep_slash)
{
    static const char hex[] = "0123456789ABCDEF";
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (is_unreserved(*s) || (*s == '/' && keep_slash))
            buf_add(out, s, 1);
        else
            buf_add(out, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
}
