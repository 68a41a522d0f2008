"""What the project claims about speed, measured.

`python -m seqsum.benchmarks {recurrent,training,loading,scaling,gpu}`.
"""
