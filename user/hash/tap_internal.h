/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the tap share. Nobody outside user/hash/tap*.c and the tap's tests wants it. */
#ifndef S3_KTLS_HASH_TAP_INTERNAL_H
#define S3_KTLS_HASH_TAP_INTERNAL_H

#include "base/clock.h"
#include "hash/tap.h"
#include "tap_abi.h"

/* --- tap_pair.c: the thread that makes pairs --- */

struct tap_pairs;

/* A connected pair: what goes into `in` comes out of `out`. */
struct tap_pair {
    int in;
    int out;
};

/* Start the thread, in a network namespace of its own if it may, on the machine's loopback if not.
 * It gives its capabilities away before this returns. 0 or a negative errno (ERR_ENV). */
int tap_pairs_open(struct tap_pairs **pairs, struct err *e);

/* Ends and joins the thread; pairs that it made live on. */
void tap_pairs_close(struct tap_pairs *pairs);

bool tap_pairs_are_private(const struct tap_pairs *pairs);

/* A new pair, with all socket options set; the caller closes both. Any thread may call. */
int tap_pairs_make(struct tap_pairs *pairs, struct tap_pair *pair, struct err *e);

/* Strangers that may be turned away before a pair is given up. */
enum { TAP_STRANGERS_MAX = 16 };

/* Accept the connection that `out` has made to `listener` (both non-blocking), and turn away all
 * others. Apart from tap_pairs_make() only the tests call it: they bring strangers. */
int tap_pairs_accept(int listener, deadline_t deadline, int out, int *in, struct err *e);

/* --- tap_engine.c: the loaded program and its maps --- */

int tap_engine_make_pair(struct tap_engine *engine, struct tap_pair *pair, struct err *e);

/* Let the program see what is sent into `in_fd`. Write a state first: without one it drops all. */
int tap_engine_add(struct tap_engine *engine, int in_fd, struct err *e);

/* Replace or read the state of the socket. 0 or a negative errno. */
int tap_engine_write_state(struct tap_engine *engine, int in_fd, const struct tap_state *state);
int tap_engine_read_state(struct tap_engine *engine, int in_fd, struct tap_state *state);

#endif
