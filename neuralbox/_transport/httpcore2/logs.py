"""Keeping what travels out of httpcore2's own log.

At DEBUG it writes whole heads of replies and the login of a SOCKS proxy: a refresh cookie in `Set-Cookie`, a signed address
in `Location`. A program that sets the root logger to DEBUG asked for nothing of that, and its log is read by others. So
from the first request on, its records say which step was taken, with a status or the kind of an error, and nothing else;
for the whole process, as nobody can tell from a record whose request it was.
"""

from __future__ import annotations

import logging
import re
from typing import Final

_LOGGERS: Final = tuple(f"httpcore2.{name}" for name in ("connection", "http11", "http2", "proxy", "socks"))
_STATUS: Final = re.compile(r"return_value=\(b'HTTP/[0-9.]+', ([0-9]{3})\b")
_ERROR: Final = re.compile(r"exception=([A-Za-z]+)\b")


class _StepsOnly(logging.Filter):
    """Cuts a record of httpcore2's trace down to the step, the status and the kind of error."""

    def filter(self, record: logging.LogRecord) -> bool:
        step, _, rest = record.getMessage().partition(" ")
        known = [f" {found[1]}" for found in (_STATUS.match(rest), _ERROR.match(rest)) if found is not None]
        record.msg, record.args = step + "".join(known), None
        return True


_STEPS_ONLY: Final = _StepsOnly()


def keep_secrets_out_of_logs() -> None:
    """Cut the records of httpcore2's loggers down; to do so twice is the same as once."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_STEPS_ONLY)
