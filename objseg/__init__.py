"""Segmentation from natural language expressions: the library, in folders by stage.

Pictures and masks become a data set (``data``), candidate regions are proposed (``regions``),
what held convolutions give is computed (``convnet``), batches are made (``batches``), a net is
trained (``training``), a method turns an image and
expressions into masks (``methods``), and ``evaluation`` scores and times them. ``export`` writes a
trained net as an ONNX file. ``caffe`` asks Caffe for devices and weights, ``parallel`` shares work
among processes, ``synthesis`` draws scenes, and ``download`` fetches the published files.

``caffe`` and ``training`` need Caffe. The other folders can be imported without it: they load it
when a net is opened.
"""
