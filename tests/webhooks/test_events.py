"""What a posted body says, and which signatures are one of it: values in, values or one clear error out."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from neuralbox import ConfigurationError, WebhookError
from neuralbox._types import JobRef
from neuralbox.webhooks import WebhookEvent, read_event, verify_signature

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())


PUBLIC = pem(PRIVATE)


def signed(event_id: str) -> str:
    message = hashlib.md5(event_id.encode()).digest()
    return PRIVATE.sign(message, padding.PKCS1v15(), hashes.SHA256()).hex()


def theirs(event_id: str = "e1", uuid: str = "g1", **more: Any) -> bytes:
    data = {"uuid": uuid, "status": 2, "model": "veo-3", "media_url": "https://cdn.test/g1.mp4", "used_credit": 20}
    return json.dumps({"event": "VIDEO_GENERATION_COMPLETED", "uuid": event_id, "data": {**data, **more}}).encode()


def read(body: bytes | str, service: str = "geminigen") -> WebhookEvent:
    return read_event(body, service)  # type: ignore[arg-type]


def test_neuralbox_announced_event_is_read() -> None:
    body = {
        "event": "generation.completed",
        "generation_id": 18500,
        "status": "completed",
        "model_slug": "kling-v2.1",
        "result_url": "https://storage.test/18500.mp4",
        "tokens_spent": 60,
    }
    event = read(json.dumps(body), "neuralbox")
    assert (event.service, event.name, event.event_id, event.status) == (
        "neuralbox",
        "generation.completed",
        None,
        "completed",
    )
    assert (event.ref, event.url, event.tokens) == (JobRef(18500, None, "kling-v2.1"), body["result_url"], 60)
    assert "storage.test" not in repr(event)
    thin = read('{"id": "gen_1", "event": "generation.failed", "model_slug": 7}', "neuralbox")
    assert (thin.generation_id, thin.status, thin.model, thin.tokens) == ("gen_1", "failed", "7", None)


@pytest.mark.parametrize(
    ("event", "status", "expected"),
    [
        ("VIDEO_GENERATION_COMPLETED", 2, ("completed", "video")),
        ("TTS_TEXT_SUCCESS", None, ("completed", "audio")),
        ("IMAGE_GENERATION_FAILED", None, ("failed", "image")),
        ("IMAGE_GENERATION_FAILED", -2, ("failed", "image")),
        ("SOMETHING_NEW", 12, ("pending", None)),
        ("SOMETHING_NEW", "x", (None, None)),
        (None, 3, ("failed", None)),
    ],
)
def test_geminigens_event_is_read_under_both_names(event: str | None, status: Any, expected: tuple[Any, Any]) -> None:
    data = {"uuid": "g1", "status": status, "model_name": "m", "used_credit": "1.5", "error_message": ""}
    for names in ("event", "uuid"), ("event_name", "event_uuid"):
        found = read(json.dumps({names[0]: event, names[1]: "e1", "data": data}))
        assert (found.status, found.kind) == expected
        assert (found.event_id, found.generation_id, found.model, found.credits, found.error) == (
            "e1",
            "g1",
            "m",
            1.5,
            None,
        )


@pytest.mark.parametrize("service", ["neuralbox", "geminigen"])
@pytest.mark.parametrize(
    "body",
    ["", "no", "[]", "7", "{}", '{"data": []}', '{"generation_id": true}', '{"data": {"uuid": ""}}', "[" * 10_000],
)
def test_what_is_no_event_is_one_error(body: str, service: str) -> None:
    with pytest.raises(WebhookError) as caught:
        read(body, service)
    assert (caught.value.reason, caught.value.status_code) == ("unreadable", 400)


def test_what_is_too_long_or_has_two_ids_is_no_event() -> None:
    with pytest.raises(WebhookError, match="more than 262144 bytes"):
        read(b" " * 300_000)
    with pytest.raises(WebhookError, match="has two ids"):
        read('{"uuid": "e1", "event_uuid": "e2", "data": {"uuid": "g1"}}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(("event", "uuid", "event_uuid", "generation_id", "status", "type", "data", "tokens_spent"))


@pytest.mark.uncovered
@given(st.dictionaries(FIELDS, JSON), st.dictionaries(st.sampled_from(("uuid", "status", "used_credit")), JSON))
def test_any_json_is_an_event_or_one_error(record: dict[str, Any], data: dict[str, Any]) -> None:
    for service in ("neuralbox", "geminigen"):
        try:
            event = read(json.dumps({"data": data, **record}), service)
        except WebhookError:
            continue
        assert event.generation_id != ""
        assert event == read(json.dumps({"data": data, **record}), service)


# Signatures.


def test_a_signature_of_the_event_is_accepted_and_says_nothing_of_its_content() -> None:
    verify_signature(read(theirs()), signed("e1"), PUBLIC)
    verify_signature(read(theirs()), f" {signed('e1').upper()} ", PUBLIC.encode())
    # What the documentation says aloud: other content under the same id is signed just as well.
    verify_signature(read(theirs(uuid="another", media_url="https://evil.test/")), signed("e1"), PUBLIC)


@pytest.mark.parametrize(
    "signature", [None, "", "zz", signed("e2"), signed("e1")[:-2], "ab" * 5_000, hashlib.md5(b"e1").hexdigest()]
)
def test_a_signature_over_another_event_is_refused(signature: str | None) -> None:
    with pytest.raises(WebhookError) as caught:
        verify_signature(read(theirs()), signature, PUBLIC)
    assert (caught.value.reason, caught.value.status_code) == ("signature", 401)


def test_an_event_without_an_id_and_a_key_that_is_none_are_refused() -> None:
    with pytest.raises(WebhookError, match="no id that could be signed"):
        verify_signature(read('{"data": {"uuid": "g1"}}'), signed("e1"), PUBLIC)
    with pytest.raises(ConfigurationError, match="must be a public key in PEM"):
        verify_signature(read(theirs()), signed("e1"), "secret")
    with pytest.raises(ConfigurationError, match="must be an RSA key"):
        verify_signature(read(theirs()), signed("e1"), pem(ec.generate_private_key(ec.SECP256R1())))


def test_without_cryptography_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'neuralbox\[webhooks\]'"):
        verify_signature(read(theirs()), signed("e1"), PUBLIC)
