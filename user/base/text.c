/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

size_t text_utf8_bytes(const char *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    if (*s < 0x80)
        return 1;
    size_t n = (*s & 0xe0) == 0xc0 ? 2 : (*s & 0xf0) == 0xe0 ? 3 : (*s & 0xf8) == 0xf0 ? 4 : 0;
    if (!n)
        return 0;
    uint32_t code = *s & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[n] || code > 0x10ffff || is_surrogate ? 0 : n;
}

void text_make_printable(char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        size_t sequence = text_utf8_bytes(text + i);
        if (c < 0x20 || c == 0x7f || (c >= 0x80 && c <= 0x9f))
            text[i] = '?';
        else if (c == 0xc2 && sequence == 2 && (unsigned char)text[i + 1] <= 0x9f)
            text[i] = text[i + 1] = '?';
        if (sequence > 1)
            i += sequence - 1;
    }
}
