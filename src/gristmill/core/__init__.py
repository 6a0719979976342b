"""What every room stands on: artifacts, runs, records, figures, errors, progress.

Imports nothing else of gristmill.
"""
