"""The deconvolution of the high resolution model (paper section 3.3) and of FCN-32s."""

from caffe import layers as L

from models.sizes import STRIDE


def add_upsampling(net, score, learnt=True):
    """Upsample ``score`` (N, 1, h, w) to (N, 1, 32 h, 32 w) by a 64x64 filter of stride 32.

    The filter starts as bilinear interpolation and, unless ``learnt`` is False, learns from there;
    there is no bias.
    """
    net.upsample32s = L.Deconvolution(
        score, param=[dict(lr_mult=int(learnt), decay_mult=int(learnt))],
        convolution_param=dict(
            num_output=1, kernel_size=2 * STRIDE, stride=STRIDE, pad=STRIDE // 2, bias_term=False,
            weight_filler=dict(type="bilinear"),
        ),
    )
    return net.upsample32s
