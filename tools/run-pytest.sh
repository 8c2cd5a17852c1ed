#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run pytest, and leave nothing in the temporary folder.
set -euo pipefail
base=$(mktemp -d "${TMPDIR:-/tmp}/s3-ktls-pytest.XXXXXX")
trap 'rm -rf --one-file-system "$base"' EXIT
"${PYTHON:-/usr/bin/python3}" -m pytest -p no:cacheprovider --basetemp="$base/tmp" -q "$@"
