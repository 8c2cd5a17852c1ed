/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoint URLs: what is accepted means one thing only (written out again it is the same), and
 * neither a user name nor a query nor a fragment gets through. */
#include "fuzz.h"
#include "http/uri.h"

static void check_parts(const struct uri_endpoint *u)
{
    MUST(*u->host && strlen(u->host) < URI_HOST_SIZE && u->port);
    for (const char *p = u->host; *p; p++)
        MUST(*p > ' ' && *p < 0x7f && !(*p >= 'A' && *p <= 'Z') && !strchr("/?#@[]\\%", *p));
    MUST(u->port_is_default == (u->port == (u->https ? 443 : 80)));
    size_t n = strlen(u->path);
    MUST(n < URI_PATH_SIZE && (!n || (u->path[0] == '/' && u->path[n - 1] != '/')));
    MUST(!strstr(u->path, "//") && !strpbrk(u->path, "?#%@ "));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *url;
    struct uri_endpoint u, again;
    struct err e = {.text = ""};
    struct buf text;
    fuzz_split(data, size, false, &url, 1);
    int ret = uri_parse_endpoint(&u, url, &e);
    if (ret < 0) {
        fuzz_check_err(&e, ret);
        MUST(e.class == ERR_USAGE);
    } else {
        MUST(!strpbrk(url, "@?#"));
        check_parts(&u);
        buf_init(&text, 4096);
        buf_add_str(&text, u.https ? "https://" : "http://");
        uri_host_header(&u, &text);
        buf_addf(&text, "%s/", u.path);
        MUST(!text.failed && uri_parse_endpoint(&again, text.data, &e) == 0);
        MUST(memcmp(&u, &again, sizeof u) == 0);
        buf_free(&text);
    }
    free(url);
    return 0;
}
