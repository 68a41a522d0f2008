"""What a line may look like that computes a stage of the equations: the first one that does is shown."""

LINES = {
    "hidden": r"^(?!h_(tilde|hat|bar|cand|reset))(h|hidden|hy|ht|h_\w+|new_h\w*|hidden_\w+|next_h\w*)\s*=",
    "cell": r"^(c|cell|memory|cy|ct|c_\w+|new_c\w*|cell_\w+|next_c\w*|memory_\w+)\s*=",
    "output": r"^return\b",
    "returned": r"^return\b",
    "g": r"^(g|c_?hat|c_?tilde|cand\w*|g_\w+|cell_\w+|c_bar|update)\s*=",
    "n": r"^(n|n_\w+|cand\w*|h_?hat|h_?tilde|new\w*)\s*=",
    "recalled": r"^(n|n_\w+|cand\w*|h_?hat|h_?tilde|new\w*)\s*=",
    "i": r"^(i|i_\w+|input_gate|it)\s*=",
    "f": r"^(f|f_\w+|forget_gate|ft)\s*=",
    "o": r"^(o|o_\w+|output_gate|ot)\s*=",
    "r": r"^(r|r_\w+|reset\w*|rt)\s*=",
    "z": r"^(z|z_\w+|update\w*|u|zt)\s*=",
}
