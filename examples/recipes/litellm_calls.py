"""Calls by LiteLLM: a text, a stream, a picture. The model's name begins with `openai/`.

pip install litellm
export OPENAI_BASE_URL=http://127.0.0.1:8787/v1 OPENAI_API_KEY=nbgw_...
export LITELLM_LOCAL_MODEL_COST_MAP=True  # else it fetches a list of prices when it is imported
"""

from __future__ import annotations

import litellm

question = [{"role": "user", "content": "A caption for a heron"}]
answer = litellm.completion(model="openai/gpt-5", messages=question)
print(answer.choices[0].message.content)

for chunk in litellm.completion(model="openai/gpt-5", messages=question, stream=True):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

picture = litellm.image_generation(model="openai/flux-1.1-pro", prompt="A heron, woodcut")
print(picture.data[0].url)
