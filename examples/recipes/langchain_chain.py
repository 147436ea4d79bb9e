"""A chain of LangChain's: a prompt, a model, a parser; whole, several at once, and streamed.

pip install langchain-openai
export OPENAI_BASE_URL=http://127.0.0.1:8787/v1 OPENAI_API_KEY=nbgw_...
"""

from __future__ import annotations

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

prompt = ChatPromptTemplate.from_messages([("system", "Answer in one line."), ("human", "A caption for {subject}")])
chain = prompt | ChatOpenAI(model="gpt-5") | StrOutputParser()

print(chain.invoke({"subject": "a heron"}))
for caption in chain.batch([{"subject": "a tram"}, {"subject": "a kite"}]):
    print(caption)
for piece in chain.stream({"subject": "a lighthouse"}):
    print(piece, end="", flush=True)
print()
