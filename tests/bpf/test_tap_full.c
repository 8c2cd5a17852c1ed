/* SPDX-License-Identifier: Apache-2.0 */
/* More taps than the program's map holds. Wants root. */
#include "tap_kit.h"

#include <sys/resource.h>

static void says_that_there_are_too_many_taps(void **state)
{
    enum { TAPS = 1024 }; /* max_entries of taps_in */
    struct kit *kit = *state;
    struct tap **taps = calloc(TAPS, sizeof *taps), *one_more = NULL;
    struct rlimit before, many;
    struct err e;

    assert_non_null(taps);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    many = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &many), 0);
    for (int i = 0; i < TAPS; i++)
        taps[i] = kit_open_tap(kit);
    assert_int_equal(tap_open(kit->engine, &one_more, &e), -EMFILE);
    assert_int_equal(e.class, ERR_ENV);
    if (!strstr(e.text, "too many taps are open: the BPF program's sockhash holds 1024"))
        fail_msg("%s", e.text);
    assert_null(one_more);

    /* Those that are there still work, and one that is closed makes room. */
    kit_pass_same(kit, taps[TAPS - 1], 0, 100000, 0, 0);
    tap_close(taps[0]);
    taps[0] = kit_open_tap(kit);
    kit_pass_same(kit, taps[0], 0, 100000, 0, 0);
    for (int i = 0; i < TAPS; i++)
        tap_close(taps[i]);
    free(taps);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_that_there_are_too_many_taps),
    };

    return cmocka_run_group_tests(tests, kit_set_up, kit_tear_down);
}
