/* SPDX-License-Identifier: Apache-2.0 */
#include "soak_judge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

static const char *const cause_names[SOAK_CAUSES] = {
    [SOAK_HASHED_DIFFERS] = "hashed-differs",
    [SOAK_SHORT_OF_MEMORY] = "short-of-memory",
    [SOAK_TCP_DIFFERS] = "tcp-differs",
    [SOAK_LEFT_INSIDE] = "left-inside",
    [SOAK_DROPPED] = "dropped",
    [SOAK_PUSH_FAILED] = "push-failed",
    [SOAK_FILE] = "file",
    [SOAK_NETWORK] = "network",
    [SOAK_ENVIRONMENT] = "environment",
    [SOAK_OTHER] = "other",
};

static const char *const feed_names[] = {
    [SOAK_FEED_WINDOWS] = "windows",
    [SOAK_FEED_RANDOM] = "random",
    [SOAK_FEED_CRAMPED] = "cramped",
    [SOAK_FEED_SLEEPING] = "sleeping",
};

const char *soak_phase_name(int phase)
{
    static const char *const names[SOAK_PHASES] = {
        [SOAK_IDLE] = "idle",
        [SOAK_OPENING_TAP] = "opening a tap",
        [SOAK_CONNECTING] = "connecting",
        [SOAK_BEGINNING] = "sending the head",
        [SOAK_SENDING] = "sending the payload",
        [SOAK_FINISHING] = "finishing the tap",
        [SOAK_ASKING_SINK] = "waiting for the sink's receipt",
    };

    return phase >= 0 && phase < SOAK_PHASES ? names[phase] : "?";
}

static enum soak_cause find_cause(const struct err *e)
{
    static const struct {
        const char *text;
        enum soak_cause cause;
    } words[] = {
        {" hashed", SOAK_HASHED_DIFFERS},   {"short of socket memory", SOAK_SHORT_OF_MEMORY},
        {"TCP counted", SOAK_TCP_DIFFERS},  {"left in it unread", SOAK_LEFT_INSIDE},
        {"dropped messages", SOAK_DROPPED}, {"did not take", SOAK_PUSH_FAILED},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(e->text, words[i].text))
            return words[i].cause;
    return e->class == ERR_FILE  ? SOAK_FILE
           : e->class == ERR_NET ? SOAK_NETWORK
           : e->class == ERR_ENV ? SOAK_ENVIRONMENT
                                 : SOAK_OTHER;
}

static void describe(const struct soak_plan *plan, const char *what, char text[SOAK_TEXT_BYTES])
{
    snprintf(text, SOAK_TEXT_BYTES, "transfer %" PRIu64 " (%zu bytes from %lld, %s, %s%s%s): %s",
             plan->number, plan->bytes, (long long)plan->offset,
             plan->sender == SENDER_SPLICE ? "splice" : "sendfile", feed_names[plan->feed],
             plan->changing ? ", changing file" : "", plan->slow ? ", slow sink" : "", what);
}

static void note_failure(struct soak_board *board, const struct soak_plan *plan, const char *what)
{
    if (!atomic_exchange(&board->said_wrong, true))
        describe(plan, what, board->wrong_text);
}

void soak_judge_wrong(struct soak_board *board, const struct soak_plan *plan, const char *what)
{
    board->wrong++;
    note_failure(board, plan, what);
}

void soak_judge_stuck(struct soak_board *board, const struct soak_plan *plan, const char *what)
{
    board->stuck++;
    note_failure(board, plan, what);
}

void soak_judge_refused(struct soak_board *board, const struct soak_plan *plan, const struct err *e)
{
    enum soak_cause cause = find_cause(e);

    if (e->errnum == ETIMEDOUT)
        soak_judge_stuck(board, plan, e->text);
    board->refused[soak_plan_is_cramped(plan)][cause]++;
    if (!soak_plan_is_cramped(plan) && !atomic_exchange(&board->said[cause], true))
        describe(plan, e->text, board->text[cause]);
}

static uint64_t sum(const _Atomic uint64_t *counts)
{
    uint64_t n = 0;

    for (int i = 0; i < SOAK_CAUSES; i++)
        n += counts[i];
    return n;
}

static void print_causes(const char *name, const _Atomic uint64_t *counts)
{
    const char *comma = "";

    printf("\"%s\": {", name);
    for (int i = 0; i < SOAK_CAUSES; i++) {
        if (!counts[i])
            continue;
        printf("%s\"%s\": %" PRIu64, comma, cause_names[i], counts[i]);
        comma = ", ";
    }
    printf("}, ");
}

static void print_json(const struct soak_board *b, double seconds, uint64_t refused,
                       uint64_t cramped_refused)
{
    struct utsname kernel = {.release = "?"};

    uname(&kernel);
    printf("soak: {\"kernel\": \"%s\", \"seed\": %" PRIu64 ", \"seconds\": %.1f, ", kernel.release,
           b->seed, seconds);
    printf("\"transfers\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"right\": %" PRIu64
           ", \"wrong\": %" PRIu64 ", \"stuck\": %" PRIu64 ", ",
           b->right[0] + b->right[1] + refused + cramped_refused + b->wrong, b->bytes, b->right[0],
           b->wrong, b->stuck);
    print_causes("refused", b->refused[0]);
    printf("\"cramped_right\": %" PRIu64 ", ", b->right[1]);
    print_causes("cramped_refused", b->refused[1]);
    printf("\"taps\": %u, \"sendfile\": %" PRIu64 ", \"splice\": %" PRIu64
           ", \"changing_files\": %" PRIu64 ", \"differ_afterwards\": %" PRIu64
           ", \"ktls_connections\": %" PRIu64 ", \"openssl_connections\": %" PRIu64 ", ",
           b->taps, b->by_sendfile, b->by_splice, b->of_changing_file, b->changed,
           b->ktls_connections, b->openssl_connections);
    printf("\"stops\": %" PRIu64 ", \"signals\": %" PRIu64 ", \"interrupts\": %" PRIu64
           ", \"rewrites\": %" PRIu64 "}\n",
           b->stops, b->signals, b->interrupts, b->rewrites);
}

/* An attack that did nothing has shown nothing. */
static bool all_attacks_ran(const struct soak_board *b)
{
    const struct {
        unsigned attack;
        uint64_t count;
        const char *what;
    } attacks[] = {
        {SOAK_STOP, b->stops, "stops"},
        {SOAK_SIGNALS, b->signals, "signals"},
        {SOAK_PTRACE, b->interrupts, "ptrace interrupts"},
        {SOAK_REWRITE, b->changed, "files that changed while they were sent"},
    };
    bool ran = true;

    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        if (!(b->attacks & attacks[i].attack) || attacks[i].count)
            continue;
        printf("soak: no %s: the attack was none\n", attacks[i].what);
        ran = false;
    }
    return ran;
}

int soak_judge_run(const struct soak_board *b, double seconds, bool require_ktls)
{
    enum { CRAMPED_ENOUGH = 50 };
    uint64_t refused = sum(b->refused[0]), cramped_refused = sum(b->refused[1]);
    uint64_t cramped = b->right[1] + cramped_refused;
    bool good = all_attacks_ran(b);

    for (int i = 0; i < SOAK_CAUSES; i++)
        if (b->refused[0][i])
            printf("soak: %s, the first time: %s\n", cause_names[i], b->text[i]);
    if (b->wrong || b->stuck) {
        printf("soak: WRONG OR STUCK: %s\n", b->wrong_text);
        good = false;
    }
    /* TCP between the ends is whole, so nothing but a tap that was cramped on purpose has a reason
     * to refuse. */
    if (refused || b->right[0] == 0) {
        printf("soak: transfers were refused that should not have been\n");
        good = false;
    }
    if (cramped >= CRAMPED_ENOUGH && cramped_refused == 0) {
        printf("soak: no tap with too small buffers refused: the attack has no teeth\n");
        good = false;
    }
    if (require_ktls && (b->openssl_connections || !b->ktls_connections)) {
        printf("soak: the kernel did not encrypt every connection\n");
        good = false;
    }
    print_json(b, seconds, refused, cramped_refused);
    return good ? 0 : 1;
}
