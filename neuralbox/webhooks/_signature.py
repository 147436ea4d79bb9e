"""GeminiGen's signature, which covers the number of an event and nothing else."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from .._errors import ConfigurationError, WebhookError
from .._models.webhook_event import WebhookEvent

SIGNATURE_HEADER: Final = "x-signature"
_MISSING: Final = "This needs `cryptography`, which is not installed: run  pip install 'neuralbox[webhooks]'"
_LONGEST: Final = 4096


def verify_signature(event: WebhookEvent, signature: str | None, public_key: str | bytes) -> None:
    """Verify that GeminiGen once sent an event of this number; return nothing.

    **What this does not say.** The signature is over the event's own id alone. It does not cover the generation's id, its
    state, the address of the result or anything else in the event, and it has no time: whoever has seen one delivery
    can send other content under the same id and signature. So `client.notify` asks the service all the same, and
    nothing else should be done because of an event.

    Args:
        event: As `read_event` returned it.
        signature: The header `x-signature`: hexadecimal digits.
        public_key: GeminiGen's public key, in PEM. Where it is published is not documented; the account's pages offer it.

    Raises:
        WebhookError: There is no signature, or it is not one of this event; `.reason` is `signature`.
        ConfigurationError: The key is none, or cryptography is not installed.

    Source:
        RSA, PKCS#1 v1.5 with SHA-256, over the 16 bytes of the MD5 of the event's id: the code of the "Webhooks" page and
        of the vendor's demo, which its prose contradicts (docs/service/geminigen.md 5).
    """
    key = read_key(public_key)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    if event.event_id is None:
        raise WebhookError("The event has no id that could be signed.", reason="signature")
    if not signature:
        raise WebhookError(f"The event has no signature (`{SIGNATURE_HEADER}`).", reason="signature")
    # MD5 is the vendor's choice; what it weakens is the signature, on which nothing depends here.
    message = hashlib.md5(event.event_id.encode("utf-8", "replace"), usedforsecurity=False).digest()
    try:
        key.verify(bytes.fromhex(signature.strip()[:_LONGEST]), message, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError) as error:
        raise WebhookError("The signature is not one of this event.", reason="signature") from error


def read_key(public_key: str | bytes) -> Any:
    """Return GeminiGen's public key as cryptography has it.

    Raises:
        ConfigurationError: It is none, or cryptography is not installed.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise ConfigurationError(_MISSING) from error
    try:
        key = load_pem_public_key(public_key.encode() if isinstance(public_key, str) else public_key)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError("`public_key` must be a public key in PEM ('-----BEGIN PUBLIC KEY-----').") from error
    if not isinstance(key, RSAPublicKey):
        raise ConfigurationError("`public_key` must be an RSA key.")
    return key
