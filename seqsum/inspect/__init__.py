"""A look into a trained network: its figures as PNG and as one HTML page, for `python -m seqsum.inspect`.

restore   a checkpoint as the network and the data it was trained on
look      runs it over the test split or a user's input, and asks the objective what there is to see
"""
