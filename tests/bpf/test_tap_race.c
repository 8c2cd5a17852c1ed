/* SPDX-License-Identifier: Apache-2.0 */
/* Taps on a loopback that another process shares, which connects to every port it can find. In a
 * network namespace of the test's own, in which the tap may not make one itself. Wants root. */
#include "tap_kit.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { PORT_FIRST = 40000, PORT_LAST = 40255, HELD = 32, TRIES = 1000, STRANGERS = 3 };

/* What the racer counts. */
struct race {
    atomic_bool over;
    atomic_ulong connected; /* somebody listened, and the racer was there */
    atomic_ulong bytes;     /* that came over these connections */
};

/* Whether somebody listened there. Loopback answers while connect(2) runs. */
static bool has_connected(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;

    return errno == EINPROGRESS && poll(&p, 1, 0) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002)};
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    /* From another address, so that it takes no port away from the taps. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && !has_connected(fd))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void run_racer(struct race *race)
{
    int held[HELD];
    unsigned next = 0;

    for (int i = 0; i < HELD; i++)
        held[i] = -1;
    while (!race->over) {
        for (uint16_t port = PORT_FIRST; port <= PORT_LAST; port++) {
            int fd = connect_to(port);
            char bytes[256];

            if (fd < 0)
                continue;
            race->connected++;
            int *oldest = &held[next++ % HELD];
            ssize_t got = *oldest >= 0 ? recv(*oldest, bytes, sizeof bytes, MSG_DONTWAIT) : 0;
            if (got > 0)
                race->bytes += (unsigned long)got;
            if (*oldest >= 0)
                close(*oldest);
            *oldest = fd;
        }
    }
}

/* A loopback with few ports. */
static void own_network(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    char range[32];

    assert_int_equal(unshare(CLONE_NEWNET), 0);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
    close(fd);
    fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY | O_CLOEXEC);
    int n = snprintf(range, sizeof range, "%d %d", PORT_FIRST, PORT_LAST);
    assert_int_equal(write(fd, range, (size_t)n), n);
    close(fd);
}

/* Without CAP_SYS_ADMIN a tap stays on this loopback. */
static void keep_what_the_tap_needs(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    uint64_t kept =
        UINT64_C(1) << CAP_BPF | UINT64_C(1) << CAP_NET_ADMIN | UINT64_C(1) << CAP_PERFMON;
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
        {.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)},
    };

    assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

/* Each tap that is opened is whole; each that is not says who is to blame. Longer than TRIES where
 * the racer was hardly ever in time. */
static void open_many(struct kit *kit, const struct race *race, int *opened, int *refused)
{
    for (int i = 0; i < TRIES || (race->connected < STRANGERS && i < TRIES * 20); i++) {
        struct tap *tap = NULL;
        struct err e;

        if (tap_open(kit->engine, &tap, &e) == 0) {
            kit_pass_same(kit, tap, i % TRIES, 1000, 0, 0);
            tap_close(tap);
            ++*opened;
            continue;
        }
        if (!strstr(e.text, "another process of this machine keeps connecting"))
            fail_msg("%s", e.text);
        assert_int_equal(e.class, ERR_ENV);
        ++*refused;
    }
}

static void race_for_the_port(void **state)
{
    struct kit *kit = *state;
    struct race *race =
        mmap(NULL, sizeof *race, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct tap_engine_info info;
    int opened = 0, refused = 0;
    struct err e;

    assert_true(race != MAP_FAILED);
    own_network();
    pid_t racer = fork();
    assert_true(racer >= 0);
    if (racer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_racer(race);
        _exit(0);
    }
    keep_what_the_tap_needs();
    KIT_ASSERT_OK(tap_engine_open(&kit->engine, &e), &e);
    tap_engine_get_info(kit->engine, &info);
    assert_false(info.private_network);
    open_many(kit, race, &opened, &refused);
    race->over = true;
    assert_int_equal(waitpid(racer, NULL, 0), racer);
    tap_engine_close(kit->engine);

    dprintf(STDERR_FILENO, "%d taps opened, %d refused, %lu strangers\n", opened, refused,
            (unsigned long)race->connected);
    assert_int_equal(race->bytes, 0);
    assert_true(race->connected >= STRANGERS); /* or nothing was tried */
    assert_true(opened > 0);
}

static void never_talks_to_a_stranger(void **state)
{
    kit_run_in_child(*state, race_for_the_port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_talks_to_a_stranger),
    };

    return cmocka_run_group_tests(tests, kit_set_up_file, kit_tear_down_file);
}
