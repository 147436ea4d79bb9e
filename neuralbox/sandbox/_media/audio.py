"""Audio encoded by av: a hummed line for speech, slow chords for music; mp3, wav or ogg (opus), mono.

A bar of samples is computed once for each palette and repeated, so that a minute costs little more than a second.
"""

from __future__ import annotations

import sys
from array import array
from fractions import Fraction
from functools import cache, lru_cache
from io import BytesIO
from math import pi, sin
from typing import Final

import av
from av.audio.stream import AudioStream

_RATE: Final = 24_000
_CHUNK: Final = 960
_CODECS: Final = {"mp3": ("mp3", "libmp3lame"), "wav": ("wav", "pcm_s16le"), "ogg": ("ogg", "libopus")}
_SCALE: Final = (0, 2, 4, 7, 9, 12)  # half-tones: pentatonic, nothing clashes


@lru_cache(maxsize=32)  # for all sandboxes of a process: each of hundreds of tests has one of its own
def encode_audio(duration: int, ending: str, palette: int, *, is_music: bool) -> bytes:
    """Encode an audio file.

    Args:
        duration: Seconds.
        ending: `mp3`, `wav` or `ogg`.
        palette: Which pitches, from 0.
        is_music: Chords instead of a hummed line.
    """
    bar = _music_bar(palette) if is_music else _speech_bar(palette)
    samples = bar * (duration * _RATE * 2 // len(bar) + 1)
    container_format, codec = _CODECS[ending]
    file = BytesIO()
    with av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=_RATE)
        assert isinstance(stream, AudioStream)  # for the type checker, which knows codecs only as text
        stream.layout = "mono"
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=_RATE)
        total = duration * _RATE
        for start in range(0, total, _CHUNK):
            count = min(_CHUNK, total - start)
            frame = av.AudioFrame(format="s16", layout="mono", samples=count, align=1)
            frame.sample_rate, frame.pts, frame.time_base = _RATE, start, Fraction(1, _RATE)
            frame.planes[0].update(samples[2 * start : 2 * (start + count)])
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


@cache
def _speech_bar(palette: int) -> bytes:
    """Build a second of four hummed syllables."""
    pitches = [110 + 15 * palette + 12 * step for step in (0, 2, 1, -1)]
    length = _RATE // len(pitches)
    return b"".join(_tone((pitch, 2 * pitch, 3 * pitch), length) for pitch in pitches)


@cache
def _music_bar(palette: int) -> bytes:
    """Build four seconds of four chords."""
    root = 130.8 * 2 ** (palette / 12)
    chords = ((0, 2, 3), (1, 3, 4), (2, 4, 5), (0, 2, 4))
    return b"".join(_tone(tuple(root * 2 ** (_SCALE[step] / 12) for step in chord), _RATE) for chord in chords)


def _tone(pitches: tuple[float, ...], length: int) -> bytes:
    """Build sines that swell and fade, as 16-bit samples in little-endian order."""
    turns = [2 * pi * pitch / _RATE for pitch in pitches]
    loudness = 9_000 / len(turns)
    samples = array(
        "h",
        (round(loudness * sin(pi * n / length) * sum(sin(turn * n) for turn in turns)) for n in range(length)),
    )
    if sys.byteorder == "big":  # pragma: no cover - the planes are little-endian on every machine we test on
        samples.byteswap()
    return samples.tobytes()
