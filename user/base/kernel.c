/* SPDX-License-Identifier: Apache-2.0 */
#include "base/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

bool kernel_is_new_enough(char release[static KERNEL_RELEASE_SIZE])
{
    struct utsname name = {.release = "?"};
    uname(&name);
    snprintf(release, KERNEL_RELEASE_SIZE, "%s", name.release);

    char *end = NULL;
    unsigned long major = strtoul(release, &end, 10);
    unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    return end == release || major > KERNEL_MAJOR_MIN ||
           (major == KERNEL_MAJOR_MIN && minor >= KERNEL_MINOR_MIN);
}
