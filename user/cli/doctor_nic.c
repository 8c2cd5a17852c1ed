/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor_nic.h"

#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FEATURES_MAX = 1024 };

static int nic_ioctl(int fd, const char *device, void *command)
{
    struct ifreq request = {.ifr_data = command};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
    return ioctl(fd, SIOCETHTOOL, &request);
}

/* The number of tls-hw-tx-offload among the features, which differs from kernel to kernel. -1 if
 * there is none. */
static int nic_feature_index(int fd, const char *device, uint32_t *count)
{
    struct {
        struct ethtool_sset_info info;
        uint32_t count;
    } set = {.info = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES}};
    if (nic_ioctl(fd, device, &set) < 0 || !set.info.sset_mask || set.count > FEATURES_MAX)
        return -1;
    struct ethtool_gstrings *names = calloc(1, sizeof *names + (size_t)set.count * ETH_GSTRING_LEN);
    if (!names)
        return -1;
    *names = (struct ethtool_gstrings){
        .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES, .len = set.count};
    int found = -1;
    if (nic_ioctl(fd, device, names) == 0)
        for (uint32_t i = 0; i < set.count && found < 0; i++)
            if (strncmp((const char *)names->data + (size_t)i * ETH_GSTRING_LEN,
                        "tls-hw-tx-offload", ETH_GSTRING_LEN) == 0)
                found = (int)i;
    free(names);
    *count = set.count;
    return found;
}

static bool nic_offloads(int fd, const char *device)
{
    uint32_t count = 0;
    int index = nic_feature_index(fd, device, &count);
    if (index < 0)
        return false;
    uint32_t blocks = (count + 31) / 32;
    struct ethtool_gfeatures *features =
        calloc(1, sizeof *features + blocks * sizeof features->features[0]);
    if (!features)
        return false;
    *features = (struct ethtool_gfeatures){.cmd = ETHTOOL_GFEATURES, .size = blocks};
    bool on = nic_ioctl(fd, device, features) == 0 &&
              (features->features[index / 32].active >> (index % 32) & 1);
    free(features);
    return on;
}

static void nic_read_statistics(struct doctor_nic *out)
{
    FILE *f = fopen("/proc/net/tls_stat", "re");
    if (!f)
        return;
    out->has_statistics = true;
    char line[128];
    while (fgets(line, sizeof line, f)) {
        static const char software[] = "TlsTxSw", device[] = "TlsTxDevice";
        if (strncmp(line, software, sizeof software - 1) == 0)
            out->tx_software = strtoull(line + sizeof software - 1, NULL, 10);
        if (strncmp(line, device, sizeof device - 1) == 0)
            out->tx_device = strtoull(line + sizeof device - 1, NULL, 10);
    }
    fclose(f);
}

void doctor_nic_read(struct doctor_nic *out)
{
    *out = (struct doctor_nic){0};
    nic_read_statistics(out);
    struct if_nameindex *devices = if_nameindex();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (size_t i = 0; devices && fd >= 0 && devices[i].if_index; i++) {
        if (!nic_offloads(fd, devices[i].if_name))
            continue;
        size_t used = strlen(out->offload);
        snprintf(out->offload + used, sizeof out->offload - used, "%s%s", used ? ", " : "",
                 devices[i].if_name);
    }
    if (fd >= 0)
        close(fd);
    if (devices)
        if_freenameindex(devices);
}
