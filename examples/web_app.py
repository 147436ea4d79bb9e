"""A web application that streams a text to the browser while it is written.

    pip install 'neuralbox[sandbox]'          # brings starlette and uvicorn
    export NEURALBOX_API_KEY=nb_...
    python examples/web_app.py                # then open the address it prints

One client serves all visitors: it is opened when the application starts and closed when it ends. A visitor who goes away
in the middle cancels the stream, and its connection is free for the next one at once.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from neuralbox import AsyncNeuralBox, NeuralBoxError

PAGE = """<!doctype html><meta charset=utf-8><title>Ask</title>
<form onsubmit="ask(event)"><input name=prompt size=60 autofocus> <button>Ask</button></form><pre id=answer></pre>
<script>
async function ask(event) {
  event.preventDefault();
  answer.textContent = "";
  const reply = await fetch("/ask?" + new URLSearchParams(new FormData(event.target)));
  for (const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();;) {
    const {done, value} = await reader.read();
    if (done) break;
    answer.textContent += value;
  }
}
</script>"""


class State(TypedDict):
    nb: AsyncNeuralBox


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[State]:
    async with AsyncNeuralBox() as nb:
        yield {"nb": nb}


async def index(_: Request) -> Response:
    return HTMLResponse(PAGE)


async def ask(request: Request) -> Response:
    prompt = request.query_params.get("prompt", "").strip()
    if not prompt:
        return JSONResponse({"error": "What is the question?"}, status_code=400)
    nb: AsyncNeuralBox = request.state.nb
    return StreamingResponse(answer(nb, prompt), media_type="text/plain; charset=utf-8")


async def answer(nb: AsyncNeuralBox, prompt: str) -> AsyncIterator[str]:
    try:
        async with nb.text.stream(model="gpt-5", prompt=prompt) as stream:
            async for delta in stream:
                yield delta
    except NeuralBoxError as error:  # the headers are out, so it is said in the text
        yield f"\n\n[{error}]"


app = Starlette(routes=[Route("/", index), Route("/ask", ask)], lifespan=lifespan)

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Ask a language model in the browser.")
    arguments.add_argument("--port", type=int, default=8000)
    uvicorn.run(app, host="127.0.0.1", port=arguments.parse_args().port, log_level="warning")
