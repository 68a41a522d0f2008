"""Draw figures of a trained network as PNG and as one HTML page: `python -m seqsum.inspect`.

restore   rebuilds network and data from a checkpoint
look      runs the network on the test split or a user's input, and collects the objective's figures
"""
