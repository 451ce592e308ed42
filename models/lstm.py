"""The expression encoder of the paper's section 3.2: word embedding, LSTM, last hidden state."""

import caffe
from caffe import layers as L

from models.netspec import unit
from models.sizes import Size
from objseg.data.expressions import MAX_WORDS

UNIFORM = dict(type="uniform", min=-0.08, max=0.08)


def lstm(words, continuation, hidden: int, static=None):
    """Return the states (T, N, ``hidden``) of an LSTM over ``words`` (T, N, D_embedding).

    ``static`` (N, D), if given, is an input at every step. The parameters are W_xc, b_c,
    [W_xc_static] and W_hc. The biases start at 0. A filler cannot say of a part of a blob that the
    forget gate's start at 1: :mod:`objseg.caffe.weights` writes that into the starting weights of
    the layer named "lstm".
    """
    bottoms = [words, continuation]
    if static is not None:
        bottoms.append(static)
    weights, bias = dict(lr_mult=1, decay_mult=1), dict(lr_mult=1, decay_mult=0)
    return L.LSTM(
        *bottoms,
        recurrent_param=dict(
            num_output=hidden, weight_filler=UNIFORM, bias_filler=dict(type="constant")
        ),
        param=[weights, bias] + [weights] * (len(bottoms) - 1),
    )


def embed(tokens, size: Size, width: int):
    """Return vectors (T, N, ``width``) of ``tokens`` (T, N).

    They do not decay, as in the authors' code.
    """
    return L.Embed(
        tokens, input_dim=size.vocabulary, num_output=width, bias_term=False,
        weight_filler=UNIFORM, param=[dict(lr_mult=1, decay_mult=0)],
    )


def add_last_state(net: caffe.NetSpec, states):
    """Take the last of the LSTM's ``states`` (T, N, hidden), where every expression ends."""
    net.earlier_states, net.last_state = L.Slice(
        states, ntop=2, slice_param=dict(axis=0, slice_point=[MAX_WORDS - 1])
    )
    net.silence = L.Silence(net.earlier_states, ntop=0)
    return net.last_state  # (1, N, hidden)


def add_language(net: caffe.NetSpec, size: Size):
    """Encode ``net.tokens`` (T, N) with ``net.continuation`` (T, N); returns (N, D_text, 1, 1).

    The result is h_T, L2-normalised. An expression's words are the last of the T steps, and the
    continuation indicator is 0 up to the first word, so padding never reaches the state.
    """
    net.embedding = embed(net.tokens, size, size.embedding)
    net.lstm = lstm(net.embedding, net.continuation, size.hidden)
    add_last_state(net, net.lstm)
    net.expression = L.Reshape(
        net.last_state, reshape_param=dict(shape=dict(dim=[-1, size.hidden, 1, 1]))
    )
    net.expression_unit = unit(net.expression)
    return net.expression_unit
