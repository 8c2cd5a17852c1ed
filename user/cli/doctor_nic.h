/* SPDX-License-Identifier: Apache-2.0 */
/* TLS in network devices: who can, and what the kernel counted. */
#ifndef S3_KTLS_CLI_DOCTOR_NIC_H
#define S3_KTLS_CLI_DOCTOR_NIC_H

#include <stdbool.h>
#include <stdint.h>

struct doctor_nic {
    char offload[256];    /* devices with tls-hw-tx-offload on, as "eth0, eth1"; "" for none */
    bool has_statistics;  /* /proc/net/tls_stat is there (the tls module is loaded) */
    uint64_t tx_software; /* TlsTxSw */
    uint64_t tx_device;   /* TlsTxDevice */
};

void doctor_nic_read(struct doctor_nic *out);

#endif
