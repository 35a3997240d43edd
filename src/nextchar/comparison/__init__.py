"""Finished runs side by side: which model is better on the test split, and whether the difference is significant.

Imports runs/, plots/ and what lies below, and jinja2 in page. Runs are read without running any code from them. Where
to start reading:

ranking       `compare`: folders -> a Comparison, and the refusal of runs that were not tested alike
find          run folders and their test losses; folders that are left out, with the reason
grouping      runs that differ in the seed only are one row, labelled by the settings that tell it apart
significance  the paired test: the interval of a difference, over documents and seeds, for many models at once
sentences     the ranking in words
files, page   CSV, Markdown and PNG; the HTML page, with its template, style and script in assets/
"""
