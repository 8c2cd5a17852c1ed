#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: vm.sh [--memory-mib N] [--append ARGS] [--timeout S] KERNEL SHAREDIR -- COMMAND...
# Runs a command in a virtual machine under a kernel of Debian that tools/setup.sh vm-KERNEL set up
# (bookworm, trixie, sid, rt): see tests/rig/vm.py.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
PYTHONPATH=$tools_dir/../tests exec /usr/bin/python3 -m rig.vm "$@"
