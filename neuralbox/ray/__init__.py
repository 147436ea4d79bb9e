"""neuralbox.ray: the requests of a Ray dataset, each bought once however often Ray runs its part of them.

    import neuralbox.ray
    import ray

    ds = ray.data.read_parquet("s3://in/")  # key, kind, model, prompt, ...
    ds = neuralbox.ray.generate(ds, journal="postgresql://db.example/neuralbox#summer", workers=(2, 16))
    ds.write_parquet("s3://out/")  # + ok, id, status, url, tokens, ...

Ray runs a block of rows again whose actor or node was lost, and a dataset as often as it is looked at. So the actors share a
journal in PostgreSQL: what is in it is delivered again, and costs nothing. A key of the API never travels with the work: each
actor takes its own from the environment of its machine.

The extra brings what it needs, on every machine of the cluster: `pip install 'neuralbox[ray]'`. Ray is imported at the
first use.
"""

from __future__ import annotations

from ._dataset import generate

__all__ = ["generate"]
