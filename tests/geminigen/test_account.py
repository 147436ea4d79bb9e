"""GeminiGen's account and the status of its models."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from neuralbox import _errors as errors
from tests.geminigen.support import KEY, client

pytestmark = pytest.mark.anyio


async def test_the_account_and_the_status_are_read_as_far_as_they_say_anything() -> None:
    answers: dict[str, Any] = {
        "/uapi/v1/account": {"uuid": "a", "email": "e@x", "user_credit": {"available_credit": 7}, "user_benefits": [1]},
        "/api/v1/models/status": {"data": {"models": [{"group_key": "veo", "rate": "0.5", "name": "x"}, 7]}},
    }
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=answers[request.url.path])

    async with client(handler) as gg:
        user = await gg.account.get()
        (group,) = await gg.models.status(window="6h")
        assert (user.credit.available, user.credit.locked, user.benefits, user.is_active) == (7, None, (1,), None)
        assert "e@x" not in repr(user)
        raw = gg.with_raw_response
        assert (await raw.account.get()).value == user
        assert [each.create.__name__ for each in (raw.images, raw.videos, raw.speech)] == ["create"] * 3
        assert (await raw.models.status()).status_code == 200
        assert (group.group_key, group.rates) == ("veo", {"rate": 0.5})
        answers["/uapi/v1/account"] = {"user_credit": 5, "user_benefits": None}
        assert (await gg.account.get()).credit.available is None
        answers["/api/v1/models/status"] = {"models": None}
        with pytest.raises(errors.ProtocolError, match="without a list of models"):
            await gg.models.status()
    assert seen[0].headers["x-api-key"] == KEY
    status = next(request for request in seen if request.url.path.endswith("/status"))
    assert "x-api-key" not in status.headers  # it is public, and not below the service's prefix
    assert str(status.url).endswith("/api/v1/models/status?window=6h")
