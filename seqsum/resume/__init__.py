"""Resume an interrupted training exactly: bit for bit on the CPU.

lightning_state    reads and sets Lightning's private state, and lists its private names that the package uses
checkpoint_files   writes and reads checkpoint files, atomically and as data
checkpoints        reads and checks what a checkpoint contains
exact              saves what Lightning's checkpoints lack; `metric_sums` the sums of an unfinished epoch
best, last         the checkpoints that a training keeps, both a `checkpoint_callback`
interrupts         Ctrl-C and SIGTERM
"""
