"""A Flask application: its threads share one blocking client, which each worker process makes for itself.

pip install flask
flask --app flask_app run
"""

from collections.abc import Iterator
from functools import cache

from flask import Flask, Response, request, stream_with_context

from neuralbox import NeuralBox, NeuralBoxError

app = Flask(__name__)


@cache
def client() -> NeuralBox:
    """Made at the first use, so after a server has forked its workers; closed when the process ends."""
    return NeuralBox()


@app.post("/captions")
def caption() -> dict[str, str | int | None] | tuple[dict[str, str], int]:
    subject = request.form.get("subject", "").strip()
    if not subject:
        return {"error": "What is it a caption for?"}, 400
    try:
        reply = client().text.create(model="gpt-5", prompt=f"A caption for {subject}", timeout=60)
    except NeuralBoxError as error:
        app.logger.warning("No caption: %s", error)
        return {"error": "The service has no answer for now."}, 503
    return {"caption": reply.text, "tokens": reply.tokens}


@app.get("/stories")
def story() -> Response:
    def pieces() -> Iterator[str]:
        prompt = f"A story about {request.args['subject']}"
        with client().text.stream(model="gpt-5", prompt=prompt) as stream:
            yield from stream

    return Response(stream_with_context(pieces()), mimetype="text/plain")
