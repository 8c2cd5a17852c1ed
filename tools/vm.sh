#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: vm.sh [--memory-mib N] [--append ARGS] [--timeout S] SUITE SHAREDIR -- COMMAND...
# Runs a command under the kernel of a Debian suite in a virtual machine: see tests/rig/vm.py.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
PYTHONPATH=$tools_dir/../tests exec /usr/bin/python3 -m rig.vm "$@"
