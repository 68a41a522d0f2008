"""A look into a trained network: its figures as PNG and as one HTML page, for `python -m seqsum.inspect`.

restore   a checkpoint as the network and the data it was trained on
reading   what the network makes of digits, each of which is encoded once
report    which figures there are, `texts` what to look at in each
page      the figures as files
"""
