"""Django in one file: an async view with the async client, and a synchronous one with the blocking client.

pip install django uvicorn
uvicorn django_app:application
"""

from functools import cache

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from neuralbox import AsyncNeuralBox, NeuralBox

settings.configure(ALLOWED_HOSTS=["127.0.0.1", "localhost", "testserver"], ROOT_URLCONF=__name__)


async def caption(request: HttpRequest) -> JsonResponse:
    # Django has no place to open a client when the event loop starts. One for each request is cheap: what is known of the account
    # (limits, prices, the poller of its jobs) belongs to the process.
    async with AsyncNeuralBox() as nb:
        reply = await nb.text.create(model="gpt-5", prompt=f"A caption for {request.GET['subject']}")
    return JsonResponse({"caption": reply.text, "tokens": reply.tokens})


@cache
def client() -> NeuralBox:
    """One for all threads of the process; closed when it ends."""
    return NeuralBox()


def balance(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"tokens": client().account.balance().token_balance})


urlpatterns = [path("captions", caption), path("balance", balance)]
application = get_asgi_application()
