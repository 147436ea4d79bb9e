"""Everything that GeminiGen makes, with real bytes against the sandbox on a real socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuralbox.geminigen import AsyncGeminiGen, HistoryItem
from neuralbox.sandbox import Sandbox, serve
from neuralbox.testing import FastTime, using
from tests.geminigen.support import KEY, PNG, SCENES, VOICES

pytestmark = pytest.mark.anyio


async def test_everything_is_made_with_real_bytes_on_a_socket(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG * 20_000)
    fast = FastTime(200.0)
    with (
        using(fast),
        serve(
            Sandbox(clock=fast.now, balance=10_000, faults={"drop-after-accept@POST /generate_image": 1.0})
        ) as server,
    ):
        async with AsyncGeminiGen(api_key=KEY, base_url=server.url, trust_env=False) as gg:
            image = await gg.images.create(model="nano-banana-pro", prompt="A harbour", files=[picture])
            film = await gg.videos.create(model="veo-3.1-fast", prompt="A kite", ref_images=[picture])
            longer = await gg.videos.extend(family="veo", ref_history=str(film.id), prompt="It lands")
            said = await gg.speech.create(input="Hello", voices=VOICES)
            talk = await gg.speech.create_dialogue(blocks=["Hi", "Ho"], voices=VOICES)
            read = await gg.speech.create_document(file=("a.txt", b"A text" * 100), voices=VOICES, speed=1.5)
            scenes = await gg.videos.create_storyboard(scenes=SCENES)
            shown = HistoryItem.read(read.raw)
            assert (shown.type, shown.input_text, shown.file_size) == ("tts-document", "a.txt", 600)
            mp4 = b"\x00\x00\x00"
            made_of = ((image, b"\xff\xd8\xff"), (longer, mp4), (said, b""), (talk, b""), (read, b""), (scenes, mp4))
            for made, start in made_of:
                path = await gg.files.download(made, f"{tmp_path}/out/")
                assert path.read_bytes().startswith(start)
                assert path.stat().st_size > 100
            credit = (await gg.account.get()).credit
            assert [group.group_key for group in await gg.models.status()]
        charges = server.sandbox.ledger.charges
    assert [charge.tokens for charge in charges] == [10, 4, 4, 10, 10, 6, 40]
    assert (credit.available, credit.locked) == (10_000 - 84, 0)
