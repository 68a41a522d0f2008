"""Benchmarks behind the project's claims about speed.

`python -m seqsum.benchmarks {recurrent,training,loading,scaling,gpu}`.
"""
