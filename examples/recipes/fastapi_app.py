"""A FastAPI application: one client for all visitors, opened when it starts and closed when it ends.

pip install fastapi uvicorn
uvicorn fastapi_app:app
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from neuralbox import AsyncNeuralBox, RateLimitError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncNeuralBox() as nb:  # reads NEURALBOX_API_KEY
        app.state.nb = nb
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/captions")
async def caption(request: Request, subject: str) -> dict[str, str | int | None]:
    nb: AsyncNeuralBox = request.app.state.nb
    try:
        reply = await nb.text.create(model="gpt-5", prompt=f"A caption for {subject}")
    except RateLimitError as error:  # the plan's limit: tell the visitor when it is worth to come back
        seconds = str(round(error.retry_after or 60))
        raise HTTPException(429, "Too many questions for now.", headers={"Retry-After": seconds}) from error
    return {"caption": reply.text, "tokens": reply.tokens}


@app.get("/stories")
async def story(request: Request, subject: str) -> StreamingResponse:
    nb: AsyncNeuralBox = request.app.state.nb

    async def pieces() -> AsyncIterator[str]:  # a visitor who goes away ends the stream
        async with nb.text.stream(model="gpt-5", prompt=f"A story about {subject}") as stream:
            async for delta in stream:
                yield delta

    return StreamingResponse(pieces(), media_type="text/plain; charset=utf-8")
