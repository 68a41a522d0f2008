// The functions that Python calls, for numbers of type REAL. `build.py` compiles this file, `unroll.py` calls them.

#include "backward.h"
#include "forward.h"
#include "gru.h"
#include "lstm.h"
#include "rnn.h"

#define EXPORT(name, Cell)                                                                    \
    extern "C" void name##_forward(const Layer<REAL> *layer) { forward<Cell, REAL>(*layer); } \
    extern "C" void name##_backward(const Layer<REAL> *layer) { backward<Cell, REAL>(*layer); }

EXPORT(lstm, Lstm)
EXPORT(gru, Gru)
EXPORT(rnn, Rnn)
