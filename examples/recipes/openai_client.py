"""A program written for openai's own client: a text and what it cost, a stream, a picture and a video.

pip install openai
export OPENAI_BASE_URL=http://127.0.0.1:8787/v1 OPENAI_API_KEY=nbgw_...
"""

from __future__ import annotations

from openai import OpenAI

with OpenAI() as client:
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-5", messages=[{"role": "user", "content": "A caption for a heron"}]
    )
    print(raw.parse().choices[0].message.content)
    print(raw.headers["x-neuralbox-tokens"], "tokens")

    for event in client.responses.create(model="gpt-5", input="A story about a heron", stream=True):
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
    print()

    picture = client.images.generate(model="flux-1.1-pro", prompt="A heron, woodcut")
    print(picture.data[0].url if picture.data else None)

    # However often it asks, the gateway answers from what it knows.
    video = client.videos.create_and_poll(model="sora-2", prompt="A heron takes off", seconds="4", poll_interval_ms=500)
    client.videos.download_content(video.id).write_to_file("heron.mp4")
