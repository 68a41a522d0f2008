"""Benchmarks behind the project's claims about speed.

`python -m seqsum.benchmarks {recurrent,reviews,training,loading,scaling,compiled,words,translation,gpu}`.
"""
