/* SPDX-License-Identifier: Apache-2.0 */
/* Which Linux this is. */
#ifndef S3_KTLS_BASE_KERNEL_H
#define S3_KTLS_BASE_KERNEL_H

#include <stdbool.h>

enum {
    KERNEL_RELEASE_SIZE = 65, /* uname(2)'s on Linux */
    /* What hashing needs: bpf_loop() came with it. */
    KERNEL_MAJOR_MIN = 5,
    KERNEL_MINOR_MIN = 17,
};

/* Fill `release` ("6.1.0-56-amd64"), and tell whether it is new enough to hash. One that does not
 * begin with numbers counts as new: the kernel itself then says what it lacks. */
bool kernel_is_new_enough(char release[static KERNEL_RELEASE_SIZE]);

#endif
