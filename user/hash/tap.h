/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tap: a connected pair of loopback TCP sockets. What is pushed into `in` is hashed by the
 * sk_msg program (bpf/tap.bpf.c) and comes out of `out`, the same pages that were hashed.
 *
 *     struct tap_engine   the loaded program, its maps, and the place where pairs are made
 *     struct tap          one pair with its SHA-256 state
 *
 * Life of a payload:   tap_begin -> (tap_feed, the caller empties tap_out_fd)* -> tap_finish
 * A tap that refused once is poisoned: every call but tap_poison_reason() and tap_close() fails,
 * and no digest leaves it any more.
 */
#ifndef S3_KTLS_HASH_TAP_H
#define S3_KTLS_HASH_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "hash/digest.h"

struct tap_engine;
struct tap;

/*
 * Most bytes that may be in a tap at a time. Far below SO_SNDBUF of `in`, so that a push never
 * sleeps: sk_msg keeps the verdict of an interrupted push, and bytes would pass unhashed. Measured
 * on Linux 6.18: no push of 64, 128 or 256 KiB was short in 20,000; 64 and 128 KiB are some 8 %
 * faster than 256, as the pages come back to the next push while the caches still hold them.
 */
enum { TAP_WINDOW_BYTES = 128 * 1024 };

/*
 * Load and attach the program, and start the thread that makes pairs. Wants CAP_BPF, CAP_NET_ADMIN
 * and CAP_PERFMON; with CAP_SYS_ADMIN the pairs live in a network namespace of their own (nobody
 * else can connect to them, no sniffer or firewall of the machine sees them), else on the machine's
 * loopback. Nothing after this call needs a privilege; the thread that makes pairs gives its own
 * away before this function returns. Drop yours by thread afterwards (capset, or setresuid through
 * syscall(2)): glibc's setuid() changes all threads alike, and aborts as that thread no longer can.
 * Errors are ERR_ENV and name what is missing: a capability by its name, the kernel's version,
 * the verifier's last lines, lockdown. 0 or a negative errno.
 */
int tap_engine_open(struct tap_engine **engine, struct err *e);
void tap_engine_close(struct tap_engine *engine);

/* Facts for -v, doctor and --json. */
struct tap_engine_info {
    bool private_network;    /* pairs in a network namespace of their own */
    uint32_t verified_insns; /* as the kernel reports it; 0 where it does not (before 5.16) */
    uint8_t program_tag[8];  /* the kernel's tag of the loaded program */
    int64_t load_ns;         /* open, load and attach */
};
void tap_engine_get_info(const struct tap_engine *engine, struct tap_engine_info *info);

/* A new pair, attached to the program, both ends O_NONBLOCK and O_CLOEXEC. The engine must outlive
 * it. */
int tap_open(struct tap_engine *engine, struct tap **tap, struct err *e);
void tap_close(struct tap *tap);

/*
 * The proof on this very kernel: known bytes through this very pair, in pushes of awkward sizes
 * that cross block, piece and page borders, digest and bytes compared with OpenSSL. The tap is
 * ready for tap_begin() afterwards. ERR_ENV where it does not hold: never use the tap then.
 */
int tap_prove(struct tap *tap, struct err *e);

/* Start a payload: the hash of no bytes. Refuses (-EBADMSG, and poisons) unless both queues are
 * empty and the last payload was finished whole. */
int tap_begin(struct tap *tap, struct err *e);

/*
 * Moves up to n bytes into `in_fd` by whatever means the caller has, without ever sleeping on the
 * socket. Returns bytes moved, 0 at the end of the source, -EINTR if it was kept from moving any
 * (it is called again if the program has seen none either), or another negative errno with `e`
 * filled.
 */
typedef ssize_t tap_push_fn(void *ctx, int in_fd, size_t n, struct err *e);

/*
 * Let `push` move n bytes into the tap; n plus tap_inside() must not exceed TAP_WINDOW_BYTES
 * (-EINVAL). A short push is followed by another one, for what it left out or to learn that the
 * source has ended: sendfile returns early, between two messages, when a signal is pending, be it
 * only a stop. In between, the program must have hashed just the bytes that were pushed: a message
 * that was hashed and sent in part would leave sk_msg with a verdict for bytes it has not seen.
 *   returns n          all of it is inside
 *   returns 0 .. n-1   the source ended there (a push returned 0). The caller knows whether it may
 *                      end there.
 *   negative errno     a push failed, or was short and not hashed as a whole: the tap is poisoned,
 *                      `e` is filled.
 */
ssize_t tap_feed(struct tap *tap, size_t n, tap_push_fn *push, void *ctx, struct err *e);

/* The end to read from (splice(2) or read(2)), non-blocking, and the caller's report of how many
 * bytes it took out. The tap stays the owner of the descriptor. */
int tap_out_fd(const struct tap *tap);
void tap_drained(struct tap *tap, size_t n);

/* Bytes fed and not yet reported as drained. */
size_t tap_inside(const struct tap *tap);

struct tap_result {
    uint64_t bytes; /* hashed by the program == fed == drained */
    uint8_t sha256[SHA256_BYTES];
};

/*
 * End a payload. Gives the digest only if bytes hashed == fed == drained == counted by TCP itself
 * at `out`, no error was counted, both queues are empty (SIOCINQ of out, SIOCOUTQ of in), `in` was
 * never short of room (-ENOBUFS) and the tap is not poisoned. Otherwise it is poisoned, `e` is
 * ERR_INTEGRITY and says which of them differed, with the numbers.
 */
int tap_finish(struct tap *tap, struct tap_result *result, struct err *e);

/* Never use this tap for a digest again. The first reason stays. */
void tap_poison(struct tap *tap, const char *reason);
/* NULL if it is not poisoned. */
const char *tap_poison_reason(const struct tap *tap);

#endif
