"""Lines of the submissions that tests change, by what they are."""

LSTM_INIT = "        self.b = nn.Parameter(torch.zeros(4 * hidden_size))\n"
STEP = "        h, c = state[0], state[1]\n"
NEW = "        h_new = o * torch.tanh(c_new)\n"
RETURN = "return output, [h_new, c_new]"
READ = "z = projected + h @ self.U.T"
ANNOTATED = "def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:"
PROJECT = "return input @ self.W.T + self.b"


GATES = "torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)"


def gates(returned, names='("input_gate", "forget_gate", "cell_update", "output_gate")'):
    """Gates with names, which return so."""
    method = f"""    gate_names = {names}

    def gates(self, projected, state):
        i, f, g, o = (projected + state[0] @ self.U.T).split(self.hidden_size, dim=-1)
        return {returned}
"""
    return (f"    {ANNOTATED}", f"{method}\n    {ANNOTATED}")


def begins(function):
    """An initial state of another kind."""
    method = (
        f"    def initial_state(self, batch_size, like):\n        made = {function}(batch_size, self.hidden_size)\n"
    )
    return (f"    {ANNOTATED}", f"{method}        return [made.to(like), made.to(like)]\n\n    {ANNOTATED}")


def returns(states):
    """An initial state of zeros, returned in another form."""
    old, new = begins("torch.zeros")
    return old, new.replace("[made.to(like), made.to(like)]", states)
