"""The blocking GeminiGen client, against the sandbox on a socket."""

from __future__ import annotations

from neuralbox import GeminiGen, NeuralBox
from neuralbox.sandbox import Sandbox, serve

KEY = "nb_two_views"


def test_the_blocking_client_reads_what_the_other_service_shows_of_the_same_books() -> None:
    with serve(Sandbox(speed=1000)) as server:
        with NeuralBox(api_key=KEY, base_url=server.url) as nb:
            nb.images.create(model="flux-1.1-pro", prompt="A lighthouse at dawn")
        with GeminiGen(api_key=KEY, base_url=server.url) as gg:
            (item,) = gg.history.list(filter_by="image")
            assert gg.history.list().first_page().total == 1
            again = gg.history.get(item)
            assert again.is_completed
            assert gg.job(again).wait().url == again.url
            assert gg.files.read(again.to_generation())[:4] == b"RIFF"  # webp, the documents' default
