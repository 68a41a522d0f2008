"""What a line may look like that computes a stage of the equations: the first one that does is shown."""

# not `h = state[0]` or `h = torch.zeros(…)`, which only give it a name or a beginning
COMPUTED = r"\s*(:\s*[\w.]+\s*)?=(?!.*(zeros|\.clone\(\)))(?=.*[-+*(])"
PARTS = r"(tilde|hat|bar|cand\w*|reset|gates?|x|proj\w*)\b"  # behind a name: what a state is computed from
BY_STAGE = {
    "hidden": rf"^(?!h_{PARTS})(h|hidden|hy|ht|h_\w+|new_h\w*|hidden_\w+|next_h\w*)" + COMPUTED,
    "cell": rf"^(?!(c|cell)_{PARTS})(c|cell|memory|cy|ct|c_\w+|new_c\w*|cell_\w+|next_c\w*|memory_\w+)" + COMPUTED,
    "output": r"^return\b",
    "returned": r"^return\b",
    "g": r"^(g|c_?hat|c_?tilde|cand\w*|g_\w+|cell_\w+|cellgate|c_bar|update)" + COMPUTED,
    "n": r"^(n|n_\w+|cand\w*|h_?hat|h_?tilde|new\w*)" + COMPUTED,
    "recalled": r"^(n|n_\w+|cand\w*|h_?hat|h_?tilde|new\w*)" + COMPUTED,
    "i": r"^(i|i_\w+|input_gate|ingate|it)" + COMPUTED,
    "f": r"^(f|f_\w+|forget_gate|forgetgate|ft)" + COMPUTED,
    "o": r"^(o|o_\w+|output_gate|outgate|ot)" + COMPUTED,
    "r": r"^(r|r_\w+|reset\w*|rt)" + COMPUTED,
    "z": r"^(z|z_\w+|update\w*|u|zt)" + COMPUTED,
}
LINES = {stage: f"(?i){pattern}" for stage, pattern in BY_STAGE.items()}  # some write `H = …`
