"""A small web to try the whole chain on: real texts on invented pages, and what is true of each.

The texts are summaries of Wikipedia articles; the generator writes only the pages around them.
"""
