"""Texts: files -> documents -> splits -> ids.

A text is read twice: a survey collects what the splits and the vocabulary depend on, then the encoding makes ids. A
text of up to 64 MB stays in memory in between, and its ids after that; of a larger one the ids are read again from disk
whenever they are needed, so that memory does not grow with the file.

May import: config, errors, messages, rng; numpy; pooch in corpus.py. Read in this order:

- load.py        the road in one function: `load(data) -> Dataset` (report for run.json, vocabulary, splits)
- textfile.py    where a text is decoded: bytes -> unzipped -> characters -> line ends -> Unicode form
- corpus.py      which files are read, and the survey: `Corpus`
- splits.py      where the split is made: the recipes that assign documents to train, val and test
- vocabulary.py  characters <-> ids
- encoded.py     the encoding: a `Split` in ids, read in blocks (`Block`)
"""
