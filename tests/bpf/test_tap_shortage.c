/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message that the program has judged and the kernel could send in part only, and the rest of it
 * under the verdict that is kept: all counts agree, and yet that rest was hashed as it was before.
 * sendfile and splice do this inside one system call when the send memory is short for a moment;
 * here a push does it by hand, and the file changes in between. Wants root.
 */
#include "tap_kit.h"

#include <sys/socket.h>

struct short_push {
    struct kit *kit;
    struct tap *tap;
    size_t call_bytes; /* of one sendfile */
    bool rewrites;     /* the file, in the middle of the message */
    bool was_short;
    bool counts_agree;
    off_t offset;
};

static uint64_t hashed_bytes(struct short_push *push, int in_fd)
{
    struct tap_state state;

    assert_int_equal(tap_engine_read_state(push->kit->engine, in_fd, &state), 0);
    return state.sha.bytes;
}

static void set_buffer(int fd, int option, int bytes)
{
    assert_int_equal(setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes), 0);
}

static ssize_t push_in_two(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct short_push *push = ctx;
    off_t *offset = &push->offset;
    ssize_t sent = 1;
    (void)e;

    if (push->was_short)
        return sendfile(in_fd, push->kit->file, offset, n);
    push->was_short = true;
    set_buffer(in_fd, SO_SNDBUFFORCE, 1);
    set_buffer(tap_out_fd(push->tap), SO_RCVBUFFORCE, 1);
    while (sent > 0) {
        size_t left = n - (size_t)*offset;
        sent = sendfile(in_fd, push->kit->file, offset,
                        left < push->call_bytes ? left : push->call_bytes);
    }
    assert_int_equal(errno, EAGAIN);
    size_t rest = hashed_bytes(push, in_fd) - (size_t)*offset;
    set_buffer(in_fd, SO_SNDBUFFORCE, 2 * 1024 * 1024);
    set_buffer(tap_out_fd(push->tap), SO_RCVBUFFORCE, 1024 * 1024);
    if (push->rewrites)
        memset(push->kit->content + *offset, 0x55, rest);
    assert_int_equal(sendfile(in_fd, push->kit->file, offset, rest), rest);
    push->counts_agree = rest > 0 && hashed_bytes(push, in_fd) == (uint64_t)*offset;
    print_message("%lld bytes, the last %zu under a kept verdict: %llu hashed\n",
                  (long long)*offset, rest, (unsigned long long)hashed_bytes(push, in_fd));
    return *offset;
}

/* True if the counts agreed, so that only the memory of the shortage could tell. */
static bool is_refused_after_a_shortage(struct kit *kit, size_t call_bytes, bool rewrites)
{
    struct short_push push = {
        .kit = kit, .tap = kit_open_tap(kit), .call_bytes = call_bytes, .rewrites = rewrites};
    struct tap_result result = {.bytes = 1};
    struct err e;

    KIT_ASSERT_OK(tap_begin(push.tap, &e), &e);
    ssize_t fed = tap_feed(push.tap, TAP_WINDOW_BYTES, push_in_two, &push, &e);
    if (fed > 0)
        kit_drain(push.tap, kit->received, (size_t)fed);
    assert_true(tap_finish(push.tap, &result, &e) < 0);
    assert_int_equal(e.class, ERR_INTEGRITY);
    assert_int_equal(result.bytes, 1);
    bool only_by_shortage = push.counts_agree && fed == TAP_WINDOW_BYTES;
    if (only_by_shortage && !strstr(e.text, "short of socket memory"))
        fail_msg("refused for another reason: %s", e.text);
    tap_close(push.tap);
    return only_by_shortage;
}

/* Since 6.5 a message is what one sendfile reads, 64 KiB; before, it is a page. */
static void refuses_after_a_shortage(void **state)
{
    for (int rewrites = 0; rewrites < 2; rewrites++) {
        bool pages = is_refused_after_a_shortage(*state, 4096, rewrites);
        bool whole = is_refused_after_a_shortage(*state, TAP_WINDOW_BYTES, rewrites);

        assert_true(pages || whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_after_a_shortage),
    };

    return cmocka_run_group_tests(tests, kit_set_up, kit_tear_down);
}
