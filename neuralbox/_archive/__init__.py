"""Mirroring a history into a directory, and writing it into one file.

An archive is a directory with the results in one subdirectory per kind and a manifest, which says of every file what it
is of. What is decided stands in plain functions: what a record has to be saved (`source`), what a line of the
manifest says (`manifest_entry`). What touches the disk runs in worker threads, many items at a time (`manifest`, `index`,
`directory`); `archive` and `export` wait for pages, downloads and threads. Fetching a file is `_files`' business, which
service is mirrored the caller's. Only `results` is light enough to be imported with the package.
"""
