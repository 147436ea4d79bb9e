#!/usr/bin/env bash
# Chromium for the tests of reports (tests/report/), from the system's own packages. Nothing happens where it is there;
# where it is not and cannot be installed, the tests say so: they fail where CI is set and are skipped elsewhere.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
    if command -v "${name}" >/dev/null; then
        exit 0
    fi
done
if [[ "$(id -u)" != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "Chromium is missing; install it for the tests of reports." >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null
apt-get install -y -qq --no-install-recommends chromium >/dev/null
