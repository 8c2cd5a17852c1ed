/* SPDX-License-Identifier: Apache-2.0 */
/* What a tap must refuse: no digest leaves it unless every byte that came out was hashed. Wants
 * root. */
#include "tap_kit.h"

#include <sys/socket.h>

struct meddler {
    struct kit *kit;
    struct tap *tap;
    int in_fd;
    int calls;
};

/* A fresh tap with a payload begun. */
static struct tap *begin_tap(struct kit *kit)
{
    struct tap *tap = kit_open_tap(kit);
    struct err e;

    KIT_ASSERT_OK(tap_begin(tap, &e), &e);
    return tap;
}

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* Poisoned for that reason, and for good. */
static void assert_refuses_for_good(struct tap *tap, const char *reason)
{
    struct tap_result result = {.bytes = 1};
    struct err e;

    assert_non_null(tap_poison_reason(tap));
    assert_says(tap_poison_reason(tap), reason);
    tap_poison(tap, "another reason");
    assert_says(tap_poison_reason(tap), reason);
    assert_true(tap_finish(tap, &result, &e) < 0);
    assert_int_equal(e.class, ERR_INTEGRITY);
    assert_says(e.text, reason);
    assert_int_equal(result.bytes, 1); /* nothing was handed out */
    assert_true(tap_begin(tap, &e) < 0);
    assert_says(e.text, reason);
    assert_true(tap_feed(tap, 1, kit_push, NULL, &e) < 0);
    assert_says(e.text, reason);
    assert_true(tap_prove(tap, &e) < 0);
    assert_int_equal(e.class, ERR_ENV);
    tap_close(tap);
}

static void send_bytes(int in_fd, const uint8_t *bytes, size_t n)
{
    assert_int_equal(send(in_fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL), n);
}

static ssize_t push_and_remember(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct meddler *meddler = ctx;

    (void)e;
    meddler->in_fd = in_fd;
    send_bytes(in_fd, meddler->kit->content, n);
    return (ssize_t)n;
}

/* --- a payload that is not over --- */

static void refuses_to_begin_amid_a_payload(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct kit_source source = {.file = kit->file, .end = 1000};
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, kit_push, &source, &e), 1000);
    assert_int_equal(tap_begin(tap, &e), -EBADMSG);
    assert_int_equal(e.class, ERR_INTEGRITY);
    assert_refuses_for_good(tap, "not finished (1000 bytes inside)");
}

static void refuses_to_finish_with_bytes_inside(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct kit_source source = {.file = kit->file, .end = 1000};
    struct tap_result result;
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, kit_push, &source, &e), 1000);
    kit_drain(tap, kit->received, 900);
    assert_int_equal(tap_finish(tap, &result, &e), -EBADMSG);
    assert_refuses_for_good(tap, "1000 bytes were fed and 900 taken out");
}

static void refuses_a_report_of_more_than_was_inside(void **state)
{
    struct tap *tap = begin_tap(*state);

    tap_drained(tap, 1);
    assert_refuses_for_good(tap, "more bytes were taken out than put in");
}

static void refuses_bytes_left_in_the_queue(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct kit_source source = {.file = kit->file, .end = 1000};
    struct tap_result result;
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, kit_push, &source, &e), 1000);
    tap_drained(tap, 1000); /* a lie */
    assert_int_equal(tap_finish(tap, &result, &e), -EBADMSG);
    assert_refuses_for_good(tap, "1000 bytes were left in it unread");
}

static void refuses_calls_out_of_order(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);
    struct kit_source source = {.file = kit->file, .end = 1000};
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, kit_push, &source, &e), -EINVAL);
    assert_refuses_for_good(tap, "no payload was begun");

    tap = kit_open_tap(kit);
    assert_int_equal(tap_finish(tap, &(struct tap_result){0}, &e), -EINVAL);
    assert_refuses_for_good(tap, "no payload was begun");
}

static void refuses_more_than_its_window(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct kit_source source = {.file = kit->file, .end = KIT_FILE_BYTES};
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, kit_push, &source, &e), 1000);
    assert_int_equal(tap_feed(tap, TAP_WINDOW_BYTES - 999, kit_push, &source, &e), -EINVAL);
    assert_refuses_for_good(tap, "exceed its window");
}

/* --- pushes that fail or lie --- */

static ssize_t push_nothing_but_an_error(void *ctx, int in_fd, size_t n, struct err *e)
{
    (void)ctx, (void)in_fd, (void)n;
    return err_set(e, ERR_FILE, EIO, "the disk is broken");
}

static void refuses_after_a_failed_push(void **state)
{
    struct tap *tap = begin_tap(*state);
    struct err e;

    assert_int_equal(tap_feed(tap, 10, push_nothing_but_an_error, NULL, &e), -EIO);
    assert_int_equal(e.class, ERR_FILE); /* the push's own words */
    assert_string_equal(e.text, "the disk is broken");
    assert_refuses_for_good(tap, "a push failed");
}

/* Without room in the buffers a message is hashed, sent in part, and the rest of it is lost. */
static void refuses_a_message_sent_in_part(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);
    struct kit_source source = {.file = kit->file, .end = KIT_FILE_BYTES};
    struct meddler meddler = {.kit = kit};
    struct tap_result result;
    const int bytes = 1;
    struct err e;

    /* To learn the other end's descriptor. */
    KIT_ASSERT_OK(tap_begin(tap, &e), &e);
    assert_int_equal(tap_feed(tap, 1, push_and_remember, &meddler, &e), 1);
    kit_drain(tap, kit->received, 1);
    KIT_ASSERT_OK(tap_finish(tap, &result, &e), &e);

    setsockopt(meddler.in_fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    setsockopt(tap_out_fd(tap), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    KIT_ASSERT_OK(tap_begin(tap, &e), &e);
    assert_int_equal(tap_feed(tap, TAP_WINDOW_BYTES, kit_push, &source, &e), -EBADMSG);
    assert_int_equal(e.class, ERR_INTEGRITY);
    assert_refuses_for_good(tap, " hashed");
}

static ssize_t push_and_report_less(void *ctx, int in_fd, size_t n, struct err *e)
{
    ssize_t pushed = kit_push(ctx, in_fd, n, e);

    return pushed > 1 ? pushed - 1 : pushed;
}

static void refuses_a_push_that_reports_less(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct kit_source source = {.file = kit->file, .end = KIT_FILE_BYTES};
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, push_and_report_less, &source, &e), -EBADMSG);
    assert_refuses_for_good(tap, "999 bytes were fed and 1000 hashed");
}

static ssize_t push_and_report_more(void *ctx, int in_fd, size_t n, struct err *e)
{
    ssize_t pushed = kit_push(ctx, in_fd, n - 1, e);

    return pushed < 0 ? pushed : pushed + 1;
}

static void refuses_a_push_that_reports_more(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct kit_source source = {.file = kit->file, .end = KIT_FILE_BYTES};
    struct tap_result result;
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, push_and_report_more, &source, &e), 1000);
    kit_drain(tap, kit->received, 999);
    tap_drained(tap, 1);
    assert_int_equal(tap_finish(tap, &result, &e), -EBADMSG);
    assert_refuses_for_good(tap, "1000 bytes were fed and 999 hashed");
}

static ssize_t push_beyond(void *ctx, int in_fd, size_t n, struct err *e)
{
    (void)ctx, (void)in_fd, (void)e;
    return (ssize_t)n + 1;
}

static void refuses_a_push_that_moved_more_than_asked(void **state)
{
    struct tap *tap = begin_tap(*state);
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, push_beyond, NULL, &e), -EBADMSG);
    assert_refuses_for_good(tap, "a push of 1000 bytes moved 1001");
}

/* What a signal or a stop kept from moving anything is asked for again... */
static ssize_t push_when_asked_twice(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct meddler *meddler = ctx;

    (void)e;
    meddler->calls++;
    if (meddler->calls % 2)
        return -EINTR;
    send_bytes(in_fd, meddler->kit->content, n / 2 + 1);
    return (ssize_t)(n / 2 + 1);
}

static void goes_on_after_an_interrupted_push(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct meddler meddler = {.kit = kit};
    struct tap_result result;
    uint8_t expected[SHA256_BYTES];
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, push_when_asked_twice, &meddler, &e), 1000);
    assert_true(meddler.calls > 4);
    kit_drain(tap, kit->received, 1000);
    KIT_ASSERT_OK(tap_finish(tap, &result, &e), &e);
    assert_int_equal(digest_sha256(kit->received, 1000, expected), 0);
    assert_memory_equal(result.sha256, expected, SHA256_BYTES);
    tap_close(tap);
}

/* ...but not if the program has seen something of it: what is pushed then could pass unseen. */
static ssize_t push_and_report_an_interrupt(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct meddler *meddler = ctx;

    (void)e;
    send_bytes(in_fd, meddler->kit->content, n);
    return -EINTR;
}

static void refuses_an_interrupted_push_that_was_hashed(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct meddler meddler = {.kit = kit};
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, push_and_report_an_interrupt, &meddler, &e), -EBADMSG);
    assert_refuses_for_good(tap, "0 bytes were fed and 1000 hashed");
}

/* --- bytes that the program has not seen --- */

/* The program's state is put back to what it was before the last 100 bytes, as if they had passed
 * it unseen, and they are taken out unreported: only TCP itself has counted them. */
static ssize_t push_past_the_program(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct meddler *meddler = ctx;
    struct tap_state before;

    (void)e;
    send_bytes(in_fd, meddler->kit->content, n);
    assert_int_equal(tap_engine_read_state(meddler->kit->engine, in_fd, &before), 0);
    send_bytes(in_fd, meddler->kit->content, 100);
    assert_int_equal(tap_engine_write_state(meddler->kit->engine, in_fd, &before), 0);
    for (int i = 0; i < 100; i++) {
        struct pollfd p = {.fd = tap_out_fd(meddler->tap), .events = POLLIN};

        assert_int_equal(poll(&p, 1, KIT_DRAIN_TIMEOUT_MS), 1);
        assert_int_equal(read(p.fd, meddler->kit->received, 1), 1);
    }
    return (ssize_t)n;
}

static void refuses_bytes_that_only_tcp_has_counted(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct meddler meddler = {.kit = kit, .tap = tap};
    struct tap_result result;
    struct err e;

    assert_int_equal(tap_feed(tap, 5000, push_past_the_program, &meddler, &e), 5000);
    kit_drain(tap, kit->received, 5000);
    assert_int_equal(tap_finish(tap, &result, &e), -EBADMSG);
    assert_refuses_for_good(tap, "5000 bytes were hashed and TCP counted 5100");
}

static void refuses_to_begin_with_stray_bytes(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct meddler meddler = {.kit = kit};
    struct tap_result result;
    struct err e;

    assert_int_equal(tap_feed(tap, 10, push_and_remember, &meddler, &e), 10);
    kit_drain(tap, kit->received, 10);
    KIT_ASSERT_OK(tap_finish(tap, &result, &e), &e);
    send_bytes(meddler.in_fd, kit->content, 7);
    assert_int_equal(tap_begin(tap, &e), -EBADMSG);
    assert_refuses_for_good(tap, "7 bytes were left in it unread");
}

/* --- what the program drops --- */

static ssize_t push_with_a_wrong_version(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct meddler *meddler = ctx;
    struct tap_state wrong = {.version = TAP_ABI_VERSION + 1};
    struct kit_source source = {.file = meddler->kit->file, .end = (off_t)n};

    meddler->in_fd = in_fd;
    assert_int_equal(tap_engine_write_state(meddler->kit->engine, in_fd, &wrong), 0);
    return kit_push(&source, in_fd, n, e);
}

static void drops_what_has_a_wrong_version(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct meddler meddler = {.kit = kit};
    struct tap_state counted;
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, push_with_a_wrong_version, &meddler, &e), -EBADMSG);
    assert_says(e.text, "wrong version: 1, after that: 0");

    /* Dropped for good, also with the right version: sk_msg itself keeps the verdict. */
    assert_int_equal(tap_engine_read_state(kit->engine, meddler.in_fd, &counted), 0);
    assert_int_equal(counted.errors.version, 1);
    assert_int_equal(counted.sha.bytes, 0);
    counted = (struct tap_state){.version = TAP_ABI_VERSION};
    assert_int_equal(tap_engine_write_state(kit->engine, meddler.in_fd, &counted), 0);
    assert_int_equal(send(meddler.in_fd, kit->content, 10, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EACCES);

    /* Not a byte came out. */
    assert_int_equal(read(tap_out_fd(tap), kit->received, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_refuses_for_good(tap, "wrong version: 1");
}

static ssize_t push_after_an_error(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct meddler *meddler = ctx;
    struct tap_state failed = {.version = TAP_ABI_VERSION, .errors = {.pull = 1}};
    struct kit_source source = {.file = meddler->kit->file, .end = (off_t)n};

    assert_int_equal(tap_engine_write_state(meddler->kit->engine, in_fd, &failed), 0);
    return kit_push(&source, in_fd, n, e);
}

static void drops_what_comes_after_an_error(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct meddler meddler = {.kit = kit};
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, push_after_an_error, &meddler, &e), -EBADMSG);
    assert_int_equal(read(tap_out_fd(tap), kit->received, 1), -1);
    assert_refuses_for_good(tap, "no memory: 1, out of bounds: 0, wrong version: 0, after that: 1");
}

static ssize_t push_a_long_message(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct meddler *meddler = ctx;
    ssize_t sent = send(in_fd, meddler->kit->content, TAP_MESSAGE_BYTES_MAX + 1, MSG_DONTWAIT);

    (void)n;
    return sent < 0 ? err_sys(e, ERR_ENV, errno, "send") : sent;
}

static void drops_a_message_that_is_too_long(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = begin_tap(kit);
    struct meddler meddler = {.kit = kit};
    struct err e;

    assert_int_equal(tap_feed(tap, 1000, push_a_long_message, &meddler, &e), -EBADMSG);
    assert_int_equal(read(tap_out_fd(tap), kit->received, 1), -1);
    assert_refuses_for_good(tap, "out of bounds: 1");
}

static void drops_what_has_no_state(void **state)
{
    struct kit *kit = *state;
    struct tap_pair pair;
    struct err e;

    KIT_ASSERT_OK(tap_engine_make_pair(kit->engine, &pair, &e), &e);
    KIT_ASSERT_OK(tap_engine_add(kit->engine, pair.in, &e), &e);
    assert_int_equal(send(pair.in, kit->content, 10, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(read(pair.out, kit->received, 1), -1);
    assert_int_equal(errno, EAGAIN);
    close(pair.in);
    close(pair.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_to_begin_amid_a_payload),
        cmocka_unit_test(refuses_to_finish_with_bytes_inside),
        cmocka_unit_test(refuses_a_report_of_more_than_was_inside),
        cmocka_unit_test(refuses_bytes_left_in_the_queue),
        cmocka_unit_test(refuses_calls_out_of_order),
        cmocka_unit_test(refuses_more_than_its_window),
        cmocka_unit_test(refuses_after_a_failed_push),
        cmocka_unit_test(refuses_a_message_sent_in_part),
        cmocka_unit_test(refuses_a_push_that_reports_less),
        cmocka_unit_test(refuses_a_push_that_reports_more),
        cmocka_unit_test(refuses_a_push_that_moved_more_than_asked),
        cmocka_unit_test(goes_on_after_an_interrupted_push),
        cmocka_unit_test(refuses_an_interrupted_push_that_was_hashed),
        cmocka_unit_test(refuses_bytes_that_only_tcp_has_counted),
        cmocka_unit_test(refuses_to_begin_with_stray_bytes),
        cmocka_unit_test(drops_what_has_a_wrong_version),
        cmocka_unit_test(drops_what_comes_after_an_error),
        cmocka_unit_test(drops_a_message_that_is_too_long),
        cmocka_unit_test(drops_what_has_no_state),
    };

    return cmocka_run_group_tests(tests, kit_set_up, kit_tear_down);
}
