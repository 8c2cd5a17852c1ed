/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The tap's program: SHA-256 of every byte that is sent into a socket of `taps_in`, before it goes
 * on. It fails closed: what it cannot hash it drops, and it remembers that in `errors`, after which
 * it drops everything.
 *
 * A message is walked in pieces, each made linear by bpf_msg_pull_data(): needed on Linux 6.1,
 * where sendfile brings single pages that the program may not read before the pull, and whenever a
 * message consists of several fragments. Inside a piece: bytes that complete the block begun
 * before, whole blocks where they lie, and the rest kept for the next piece.
 *
 * Every loop is a bpf_loop() (Linux 5.17) whose callback computes its place from the index: the
 * verifier then walks it once, and not once for every place.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "sha256.bpf.h"
#include "tap_abi.h"

/*
 * The kernel fills fragments of 32 KiB (SKB_FRAG_PAGE_ORDER), the first one of a message from
 * where the last message ended. So the first piece is the first fragment, and the pieces that
 * follow never straddle two: a pull that does copies both as a whole, into one allocation that
 * must not sleep. Where the kernel was short of memory and fragments are single pages, pieces of
 * this size still need no more than four of them in a row.
 */
#define PIECE_BYTES (16 * 1024)
#define FRAGMENT_BYTES_MAX (32 * 1024)

struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 1024);
    __type(key, __u64);   /* the socket's cookie */
    __type(value, __u64); /* its descriptor, when it is added */
} taps_in SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct tap_state);
} tap_states SEC(".maps");

struct message {
    struct sk_msg_md *msg;
    struct tap_state *tap;
    __u32 bytes;
    __u32 first_bytes; /* of the first piece */
};

/* A place in the piece that was pulled last. */
struct place {
    struct sk_msg_md *msg;
    struct tap_state *tap;
    __u64 from; /* offset in the piece */
    __u64 to;   /* offset in the tail */
};

/* The kernel drops what follows a dropped message without asking the program again (seen on 6.1 and
 * 6.18); that is not promised anywhere, so the program remembers it too. */
static int has_failed(const struct tap_state *tap)
{
    return (tap->errors.pull | tap->errors.bounds | tap->errors.version) != 0;
}

static long keep_byte(__u32 index, struct place *p)
{
    __u8 *data = (void *)(long)p->msg->data;
    __u8 *data_end = (void *)(long)p->msg->data_end;
    __u64 from = p->from + index;

    if (from >= FRAGMENT_BYTES_MAX || data + from + 1 > data_end) {
        p->tap->errors.bounds++;
        return 1;
    }
    p->tap->sha.tail[(p->to + index) % SHA256_BLOCK_BYTES] = data[from];
    return 0;
}

static long hash_block(__u32 index, struct place *p)
{
    __u8 *data = (void *)(long)p->msg->data;
    __u8 *data_end = (void *)(long)p->msg->data_end;
    __u64 from = p->from + (__u64)index * SHA256_BLOCK_BYTES;

    if (from >= FRAGMENT_BYTES_MAX || data + from + SHA256_BLOCK_BYTES > data_end) {
        p->tap->errors.bounds++;
        return 1;
    }
    sha256_block(&p->tap->sha, (const struct sha256_input *)(data + from));
    return 0;
}

static long hash_piece(__u32 index, struct message *m)
{
    struct tap_state *tap = m->tap;
    struct place p = {.msg = m->msg, .tap = tap};
    __u32 begin = index ? m->first_bytes + (index - 1) * PIECE_BYTES : 0;
    __u32 bytes = index ? PIECE_BYTES : m->first_bytes;

    if (begin >= m->bytes)
        return 1;
    if (bytes > m->bytes - begin)
        bytes = m->bytes - begin;
    if (bpf_msg_pull_data(m->msg, begin, begin + bytes, 0)) {
        tap->errors.pull++;
        return 1;
    }

    /* A block begun before takes what it lacks, or the whole piece. */
    __u32 kept = tap->sha.bytes % SHA256_BLOCK_BYTES;
    __u32 head = kept ? SHA256_BLOCK_BYTES - kept : 0;

    if (head > bytes)
        head = bytes;
    p.to = kept;
    bpf_loop(head, keep_byte, &p, 0);
    if (kept && kept + head == SHA256_BLOCK_BYTES)
        sha256_block(&tap->sha, (const struct sha256_input *)tap->sha.tail);

    __u32 blocks = (bytes - head) / SHA256_BLOCK_BYTES;
    __u32 rest = (bytes - head) % SHA256_BLOCK_BYTES;

    p.from = head;
    bpf_loop(blocks, hash_block, &p, 0);
    p.from = bytes - rest;
    p.to = 0;
    bpf_loop(rest, keep_byte, &p, 0);
    tap->sha.bytes += bytes;
    return 0;
}

SEC("sk_msg")
int tap(struct sk_msg_md *msg)
{
    struct bpf_sock *sk = msg->sk;

    if (!sk)
        return SK_DROP;

    struct tap_state *tap = bpf_sk_storage_get(&tap_states, sk, NULL, 0);

    if (!tap)
        return SK_DROP;
    tap->messages++;
    if (has_failed(tap)) {
        tap->errors.after++;
        return SK_DROP;
    }
    if (tap->version != TAP_ABI_VERSION) {
        tap->errors.version++;
        return SK_DROP;
    }

    struct message m = {.msg = msg, .tap = tap, .bytes = msg->size};
    __u64 bytes_before = tap->sha.bytes;
    long first_bytes = (long)msg->data_end - (long)msg->data;

    if (m.bytes > TAP_MESSAGE_BYTES_MAX) {
        tap->errors.bounds++;
        return SK_DROP;
    }
    m.first_bytes =
        first_bytes > 0 && first_bytes <= FRAGMENT_BYTES_MAX ? first_bytes : PIECE_BYTES;
    bpf_loop(2 + m.bytes / PIECE_BYTES, hash_piece, &m, 0);
    if (tap->sha.bytes - bytes_before != m.bytes)
        tap->errors.bounds++;
    return has_failed(tap) ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
