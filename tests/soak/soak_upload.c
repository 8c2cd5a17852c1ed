/* SPDX-License-Identifier: Apache-2.0 */
#include "soak_upload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/tls.h"
#include "soak_cramped.h"
#include "soak_judge.h"
#include "soak_sink.h"
#include "upload/payload.h"

enum { CONNECT_TIMEOUT_MS = 60000, IDLE_TIMEOUT_MS = 60000 };

/* What all taps of a process share. */
struct uploader {
    struct soak_board *board;
    struct tap_engine *engine;
    struct source steady, changing;
    const uint8_t *steady_bytes, *changing_bytes; /* mapped */
};

/* One tap, its thread and its connection. */
struct lane {
    struct uploader *uploader;
    struct soak_slot *slot;
    pthread_t thread;
    struct tap *tap;
    struct tls_client *tls;
    struct conn *conn;
    struct sender *senders[2];
};

static _Noreturn void die(const char *what, const struct err *e)
{
    fprintf(stderr, "soak: %s: %s\n", what, e ? e->text : "failed");
    _exit(2);
}

static const uint8_t *map_file(const struct source *source)
{
    void *bytes = mmap(NULL, source->length, PROT_READ, MAP_SHARED, source->fd, 0);

    if (bytes == MAP_FAILED)
        die("mmap", NULL);
    return bytes;
}

static void open_file(const struct soak_board *board, const char *name, char path[200],
                      struct source *source)
{
    struct err e;

    snprintf(path, 200, "%s/%s", board->folder, name);
    if (source_open(source, path, &e) < 0)
        die(name, &e);
}

/* --- one transfer --- */

static int have_tap(struct lane *lane, const struct soak_plan *plan, struct err *e)
{
    lane->slot->phase = SOAK_OPENING_TAP;
    if (plan->new_tap) {
        tap_close(lane->tap);
        lane->tap = NULL;
    }
    return lane->tap ? 0 : tap_open(lane->uploader->engine, &lane->tap, e);
}

static int have_connection(struct lane *lane, const struct soak_plan *plan, struct err *e)
{
    struct soak_board *board = lane->uploader->board;
    struct conn_options options = {
        .host = "127.0.0.1",
        .port = plan->narrow ? board->narrow_port : board->port,
        .tls = lane->tls,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
        .cancel_fd = -1,
    };
    struct conn_info info;

    lane->slot->phase = SOAK_CONNECTING;
    if (plan->new_connection) {
        conn_close(lane->conn);
        lane->conn = NULL;
    }
    if (lane->conn)
        return 0;
    int rc = conn_open(&lane->conn, &options, e);
    if (rc < 0)
        return rc;
    conn_get_info(lane->conn, &info);
    if (info.ktls_send)
        board->ktls_connections++;
    else
        board->openssl_connections++;
    return 0;
}

/* As payload_send(), in pushes of random sizes. */
static int send_random_pushes(struct payload *payload, struct soak_plan *plan, struct err *e)
{
    size_t push_bytes_max = 1 + soak_random_below(&plan->random, TAP_WINDOW_BYTES);

    /* Tiny pushes all the way would take an hour for a large file. */
    if (push_bytes_max < plan->bytes / 256)
        push_bytes_max = TAP_WINDOW_BYTES;
    for (size_t left = plan->bytes; left;) {
        size_t want = 1 + soak_random_below(&plan->random, push_bytes_max);
        size_t moved = 0;

        if (want > left)
            want = left;
        ssize_t fed = payload_feed(payload, want, e);
        if (fed != (ssize_t)want)
            return fed < 0 ? (int)fed : err_set(e, ERR_FILE, ENODATA, "the file ended early");
        int rc =
            conn_send_from_socket(payload->conn, tap_out_fd(payload->tap), want, true, &moved, e);
        tap_drained(payload->tap, moved);
        payload->sent_bytes += moved;
        if (rc)
            return rc;
        left -= want;
    }
    return 0;
}

static int send_payload(struct payload *payload, struct soak_plan *plan, struct err *e)
{
    switch (plan->feed) {
    case SOAK_FEED_WINDOWS:
        return payload_send(payload, plan->bytes, true, e);
    case SOAK_FEED_RANDOM:
        return send_random_pushes(payload, plan, e);
    default:
        return soak_cramped_send(payload, plan, e);
    }
}

static int ask_sink(struct lane *lane, struct soak_receipt *receipt, struct err *e)
{
    size_t done = 0;

    while (done < sizeof *receipt) {
        ssize_t n = conn_recv(lane->conn, (char *)receipt + done, sizeof *receipt - done,
                              clock_deadline_in_ms(IDLE_TIMEOUT_MS), e);
        if (n <= 0)
            return n < 0 ? (int)n : err_set(e, ERR_NET, ECONNRESET, "the sink hung up");
        done += (size_t)n;
    }
    return 0;
}

/* 0 with a digest and the sink's receipt; or refused. */
static int transfer(struct lane *lane, struct soak_plan *plan, struct tap_result *hashed,
                    struct soak_receipt *receipt, struct err *e)
{
    struct uploader *u = lane->uploader;
    const struct soak_head head = {
        .number = plan->number,
        .bytes = plan->bytes,
        .slow = plan->slow ? plan->random | 1 : 0,
    };
    const struct soak_tail tail = {.magic = SOAK_TAIL_MAGIC, .number = plan->number};

    int rc = have_tap(lane, plan, e);
    if (rc == 0)
        rc = have_connection(lane, plan, e);
    lane->slot->phase = SOAK_BEGINNING;
    if (rc == 0)
        rc = tap_begin(lane->tap, e);
    if (rc == 0)
        rc = conn_send(lane->conn, &head, sizeof head, true, e);
    if (rc)
        return rc;

    struct payload payload = {
        .source = plan->changing ? &u->changing : &u->steady,
        .offset = plan->offset,
        .sender = lane->senders[plan->sender],
        .tap = lane->tap,
        .conn = lane->conn,
        .cancel_fd = -1,
    };
    lane->slot->phase = SOAK_SENDING;
    rc = send_payload(&payload, plan, e);
    lane->slot->phase = SOAK_FINISHING;
    if (rc == 0)
        rc = tap_finish(lane->tap, hashed, e);
    if (rc)
        return rc;

    /* A digest is out now, and has to be right. */
    lane->slot->phase = SOAK_ASKING_SINK;
    rc = conn_send(lane->conn, &tail, sizeof tail, false, e);
    return rc ? rc : ask_sink(lane, receipt, e);
}

static void judge(struct lane *lane, const struct soak_plan *plan, const struct tap_result *hashed,
                  const struct soak_receipt *receipt)
{
    struct uploader *u = lane->uploader;
    struct soak_board *board = u->board;
    const uint8_t *file = plan->changing ? u->changing_bytes : u->steady_bytes;
    uint8_t known[SHA256_BYTES];

    digest_sha256(file + plan->offset, plan->bytes, known);
    bool is_the_file = memcmp(hashed->sha256, known, SHA256_BYTES) == 0;
    if (hashed->bytes != plan->bytes || !receipt->tail_was_right)
        soak_judge_wrong(board, plan, "other lengths were hashed and received");
    else if (memcmp(hashed->sha256, receipt->sha256, SHA256_BYTES) != 0)
        soak_judge_wrong(board, plan, "the digest is not that of the bytes that arrived");
    else if (!plan->changing && !is_the_file)
        soak_judge_wrong(board, plan, "the digest is not the file's");
    else
        board->right[soak_plan_is_cramped(plan)]++;
    board->bytes += plan->bytes;
    board->of_changing_file += plan->changing;
    board->changed += plan->changing && !is_the_file;
    if (plan->sender == SENDER_SPLICE)
        board->by_splice++;
    else
        board->by_sendfile++;
}

static void run_transfer(struct lane *lane, uint64_t number)
{
    struct soak_board *board = lane->uploader->board;
    struct soak_plan plan;
    struct tap_result hashed;
    struct soak_receipt receipt;
    struct err e = {.class = ERR_NONE};

    soak_plan_make(&plan, board, number);
    lane->slot->number = number;
    lane->slot->started_ns = clock_now_ns();
    int rc = transfer(lane, &plan, &hashed, &receipt, &e);
    if (rc > 0)
        rc = err_set(&e, ERR_NET, EPROTO, "the sink answered early");
    if (rc == 0)
        judge(lane, &plan, &hashed, &receipt);
    else
        soak_judge_refused(board, &plan, &e);
    if (rc < 0) {
        conn_abort(lane->conn);
        lane->conn = NULL;
    }
    /* The buffers of a cramped tap stay small. */
    if (rc < 0 || soak_plan_is_cramped(&plan)) {
        tap_close(lane->tap);
        lane->tap = NULL;
    }
    lane->slot->started_ns = 0;
    lane->slot->phase = SOAK_IDLE;
}

/* --- lanes and processes --- */

static void *lane_main(void *argument)
{
    struct lane *lane = argument;
    struct soak_board *board = lane->uploader->board;
    char path[200];
    struct err e;

    lane->slot->pid = getpid();
    lane->slot->tid = (pid_t)syscall(SYS_gettid);
    snprintf(path, sizeof path, "%s/%s", board->folder, SOAK_CERTIFICATE);
    if (tls_client_open(&lane->tls, path, &e) < 0)
        die("TLS", &e);
    for (int kind = SENDER_SENDFILE; kind <= SENDER_SPLICE; kind++)
        if (sender_open(&lane->senders[kind], kind, TAP_WINDOW_BYTES, &e) < 0)
            die("sender", &e);
    /* The first connections make the kernel load and test its ciphers, in peace. */
    const struct soak_plan first = {.narrow = false};
    if (have_connection(lane, &first, &e) < 0)
        die("the first connection", &e);
    board->ready++;
    while (!board->attacked)
        usleep(1000);
    while (clock_now_ns() < board->end_ns) {
        uint64_t number = board->next++;

        if (number >= board->transfers_max)
            break;
        run_transfer(lane, number);
    }
    lane->slot->tid = 0; /* nobody aims at this thread any more */
    conn_close(lane->conn);
    tap_close(lane->tap);
    tls_client_close(lane->tls);
    for (int kind = SENDER_SENDFILE; kind <= SENDER_SPLICE; kind++)
        sender_close(lane->senders[kind]);
    return NULL;
}

static void note_signal(int number)
{
    (void)number;
}

/* SIGUSR1 lets calls go on, the others end them with EINTR. */
static void handle_signals(void)
{
    const int numbers[] = {SIGALRM, SIGUSR1, SIGIO};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction action = {.sa_handler = note_signal,
                                   .sa_flags = numbers[i] == SIGUSR1 ? SA_RESTART : 0};
        sigaction(numbers[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

static _Noreturn void uploader_main(struct soak_board *board, unsigned first_slot, unsigned taps)
{
    static struct lane lanes[SOAK_TAPS_MAX];
    static char paths[2][200];
    struct uploader u = {.board = board};
    struct err e;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    handle_signals();
    open_file(board, SOAK_STEADY_FILE, paths[0], &u.steady);
    open_file(board, SOAK_CHANGING_FILE, paths[1], &u.changing);
    u.steady_bytes = map_file(&u.steady);
    u.changing_bytes = map_file(&u.changing);
    if (tap_engine_open(&u.engine, &e) < 0)
        die("the tap's engine", &e);
    for (unsigned i = 0; i < taps; i++) {
        lanes[i] = (struct lane){.uploader = &u, .slot = &board->slots[first_slot + i]};
        if (pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]))
            die("thread", NULL);
    }
    for (unsigned i = 0; i < taps; i++)
        pthread_join(lanes[i].thread, NULL);
    tap_engine_close(u.engine);
    exit(0);
}

pid_t soak_upload_start(struct soak_board *board, unsigned which, unsigned first_slot,
                        unsigned taps)
{
    pid_t child = fork();

    if (child == 0)
        uploader_main(board, first_slot, taps);
    board->uploaders[which] = child;
    return child;
}
