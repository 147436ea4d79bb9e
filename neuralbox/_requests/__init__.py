"""The requests that cost tokens: one class per kind, the only definition of that kind's options.

`create`, `submit`, `nb.batch` and JSON lines all make one of these values, and its `build` is what the service gets. The
resources of `_resources` are written from these classes by `python -m neuralbox._codegen`: their signatures are the fields,
their documentation the fields' own. To add an option, add a field with its line under "Attributes", and run that.
"""
