"""What a line may look like that computes a stage of the equations: the first one that does is shown."""

COMPUTED = r"\s*=(?=.*[-+*(])"  # not `h = state[0]`, which only gives it a name
LINES = {
    "hidden": r"^(?!h_(tilde|hat|bar|cand|reset))(h|hidden|hy|ht|h_\w+|new_h\w*|hidden_\w+|next_h\w*)" + COMPUTED,
    "cell": r"^(c|cell|memory|cy|ct|c_\w+|new_c\w*|cell_\w+|next_c\w*|memory_\w+)" + COMPUTED,
    "output": r"^return\b",
    "returned": r"^return\b",
    "g": r"^(g|c_?hat|c_?tilde|cand\w*|g_\w+|cell_\w+|c_bar|update)" + COMPUTED,
    "n": r"^(n|n_\w+|cand\w*|h_?hat|h_?tilde|new\w*)" + COMPUTED,
    "recalled": r"^(n|n_\w+|cand\w*|h_?hat|h_?tilde|new\w*)" + COMPUTED,
    "i": r"^(i|i_\w+|input_gate|it)" + COMPUTED,
    "f": r"^(f|f_\w+|forget_gate|ft)" + COMPUTED,
    "o": r"^(o|o_\w+|output_gate|ot)" + COMPUTED,
    "r": r"^(r|r_\w+|reset\w*|rt)" + COMPUTED,
    "z": r"^(z|z_\w+|update\w*|u|zt)" + COMPUTED,
}
