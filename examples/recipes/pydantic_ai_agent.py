"""An agent of pydantic-ai's that answers in words, knows what was said before, and streams.

pip install 'pydantic-ai-slim[openai]'
export OPENAI_BASE_URL=http://127.0.0.1:8787/v1 OPENAI_API_KEY=nbgw_...
"""

from __future__ import annotations

import asyncio

from pydantic_ai import Agent

agent = Agent("openai-chat:gpt-5", instructions="Answer in one line.")


async def main() -> None:
    first = await agent.run("A caption for a heron")
    print(first.output)
    async with agent.run_stream("Another one", message_history=first.all_messages()) as second:
        async for piece in second.stream_text(delta=True):
            print(piece, end="", flush=True)
    print()


asyncio.run(main())
