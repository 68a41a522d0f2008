"""A training that is interrupted goes on as if it had not been, bit for bit on the CPU.

lightning_state    the only file that touches Lightning's private state
checkpoint_files   how checkpoints are written and read: whole, once, and as data
checkpoints        what is in them: settings and weights, and what is wrong with them
exact              what they hold beyond Lightning's own, `metric_sums` the sums of an unfinished epoch
best, last         which of them a training keeps
interrupts         Ctrl-C and SIGTERM
"""
