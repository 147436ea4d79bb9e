"""What the sandbox assumes where the documents are silent or contradict one another.

`ASSUMPTIONS.md` beside this module holds the same sentences; `as_markdown` writes it and a test compares the two.
"""

from __future__ import annotations

from typing import Final

ASSUMPTIONS: Final[tuple[str, ...]] = (
    # Who may come in
    "Any string that starts with `nb_` is an API key with an account of its own, opened at its first request.",
    (
        "A key that starts with `nb_plan_<plan>_`, or an e-mail or Telegram name that starts with `plan_<plan>_`, puts its "
        "account on that plan."
    ),
    "API keys of an account that is not on VIP or Elite get 403 on every endpoint; access tokens work on every plan.",
    "A model whose `min_plan` is `basic` answers 403 to an account on the lowest plan.",
    "Keys made by `POST /keys` share their creator's account; `PATCH /keys/{id}` answers the key without its secret.",
    "Everybody can log in, with any password except `wrong`; the Telegram hash must be there and is not verified.",
    "`POST /auth/login-phone` takes `phone` and `password`.",
    "The refresh token is a cookie named `refresh_token` for the path `/api/v2/auth`; it works once, for 30 days.",
    # Answers in general
    "A missing parameter or a body that is not a JSON object is 400; a wrong type or a value out of range is 422.",
    "A body that holds half a character (a lone surrogate), or is nested too deeply to be read, is 400.",
    "A request whose `Host` is no name of this machine is 400, unless that name was allowed.",
    'The details of a 422 are `{"fields": {"<name>": "<complaint>"}}`.',
    "Unknown request fields, and options that belong to other models, are ignored; a wrong value of a known one is not.",
    "An option that stands both at the top level and in `params` counts at the top level.",
    "Success is 200, except deletions, which answer 204 without a body.",
    "A method that is not possible is 405 `method_not_allowed`; a body above 64 MB is 413 `payload_too_large`.",
    "The order of the checks is: credential, plan, limits, body, model, balance.",
    # Limits
    "Only accepted generations and transcriptions count against the hourly and daily limits, per account.",
    "The windows are the hours and days of UTC; `Retry-After` is sent with 429 as whole seconds.",
    "Where a plan is unlimited the rate-limit headers say 0, as `user/me` does; without an account they are absent.",
    # Generations
    "Integer ids start at 18473 and grow by one; text ids are `gen_` and letters and digits.",
    "The id's form follows the dialect, the vocabulary of a poll follows its path, unless `strict_paths` is on.",
    "A generation of another account is 404.",
    (
        "An answer uses the vocabulary of the dialect also where the documents show one kind in the other only (STT, "
        "assistants); music in dialect B has its page's own fields at once and those of SEED 000 when polled."
    ),
    "`midjourney-v6` and `midjourney-turbo` come back as `midjourney` everywhere; the history finds both names.",
    "Text, speech, transcripts, tools, music and all pictures but Midjourney's answer at once.",
    "A pending job's price is reserved: a new job must fit into what is left, else 402.",
    "A failed generation answers 200 with `status` `failed`.",
    "Videos and Midjourney pictures take a random time inside the documented one, divided by `speed`.",
    "The whole answer to a text is made up; `max_tokens` bounds its words, and `usage` counts four characters a token.",
    "Where `speed` is not 1, every pending answer has `eta_seconds`: a client cannot know how fast time goes here.",
    "The seed of a picture that names none is a random one below 2^31.",
    "`image_url` and its like must be http, https or data addresses and are not fetched; image parts need a vision model.",
    (
        "Tools need one of `prompt`, `text`, `image_url`, `audio_url`, `video_url`; OCR answers text, audio tools an mp3 of "
        "5 seconds, the others a webp of 1024x1024."
    ),
    (
        "Midjourney ratios are 1024x1024, 896x1344, 1344x896, 816x1456 and 1456x816 pixels; videos are 1080 pixels on "
        "their shorter side, or what the model's name says."
    ),
    "Image models whose sizes are not documented take all documented pixel sizes; `gpt-image-1.5` takes five.",
    "Speech lasts 14 characters a second, divided by its `speed`, rounded to whole seconds.",
    "A transcription's `prompt` in the history is the name of the uploaded file.",
    # Streams
    "A stream whose client leaves is completed and charged all the same, a second later.",
    "No `[DONE]` follows an error event.",
    "`stream: true` tells the price as `tokens_used`, `/generate/stream` as `tokens_spent`; ids follow the dialect.",
    # Prices
    (
        "Prices are those of the later price list where it has the model; ten seconds of video cost twice five, up to the "
        "documented maximum."
    ),
    "`dall-e-3` costs 5, 9 (not square), 8 (hd) or 13 (both); `gpt-image-1.5` costs 1, 2, 14 or 21.",
    "`calculate-price` multiplies by `count`.",
    "Models whose tier is not documented need `basic`; image tools do not.",
    '`GET /models` answers `{"items": [...]}` and takes `category`.',
    # History and account
    "The history is newest first; an unknown `type` or `status`, and a page or limit out of range, is 422.",
    "The favourite mark answers `id` and `is_favorited`, the rating `id` and `user_rating`; ratings are 1 to 5.",
    "A deleted generation is 404 everywhere; a pending one that is deleted still completes and is charged.",
    "Plan tokens are used before bonus tokens; `token_balance` is both together; the period is 30 days.",
    "Speech, transcripts and music are `audio` in the statistics; only completed generations count.",
    "Marketplace items have `id`, `name`, `description`, `category`; assistants need `name` and `model`.",
    # Files
    "Files are served by the sandbox itself, under the host that the request named, without a key.",
    "A file is 404 before its generation is completed and 410 `file_expired` after the plan's retention.",
    "Single byte ranges are answered with 206 or 416 and `If-Range` with the ETag; several ranges get the whole file.",
    "A video's thumbnail is a JPEG of 480 pixels on its longer side.",
    # GeminiGen
    (
        "GeminiGen's history shows the images, videos and speech that the same key made through either service's endpoints, as "
        "`image_generation`, `video_generation` and `tts-text`, newest first, under a uuid of their own."
    ),
    (
        "`x-api-key` takes any key, on every plan; none is 401 `API_KEY_REQUIRED`, a bare `nb_` or `geminiai-` is 404 "
        "`API_KEY_NOT_FOUND`."
    ),
    (
        "`filter_by` takes `all`, `image`, `video`, `audio`, `pending`, `completed` and `failed`, and finds nothing by any "
        "other; a page has at most 100 items whatever was asked for, and nothing past the last one."
    ),
    (
        "A record of GeminiGen has files of its own kind only, and its `image_url` as the reference; a file's size is told "
        "once it was made, by its download or by the detail, and is 0 before."
    ),
    "A failed one has the code `SYSTEM_ERROR`; `used_credit` counts the sandbox's tokens; `expired_at` is 30 days later.",
    'An unknown uuid is 404 `{"detail": "Not Found"}`; faults answer as they do elsewhere.',
    (
        "GeminiGen makes pictures in 4 to 12 s, films in 20 to 180 s and speech in 2 to 6 s; any model of a family is taken, and "
        "costs what an example says, else 10 credits a picture, 20 a film, 2 a character."
    ),
    "An extension inherits the model of its source, which has to be the account's; a dialogue is listed as `tts-text`, its blocks as lines.",
    (
        "A document costs a credit for each 100 bytes, is not read, and is listed as `tts-document` with its name as `input_text` and its own "
        "size; a storyboard is listed as `video_generation` with its scenes' prompts as lines, costs as many films as it has scenes, and is "
        "402 `GROK_PREMIUM_PLAN_REQUIRED` on the free plan."
    ),
    "An upload is told by its name's ending; the status of the models is the same whatever the window.",
)


def as_markdown() -> str:
    """Return the text of `ASSUMPTIONS.md`."""
    head = "# What the sandbox assumes\n\nWhere the documents are silent or contradict one another, the sandbox does this.\n\n"
    return head + "".join(f"- {sentence}\n" for sentence in ASSUMPTIONS)
