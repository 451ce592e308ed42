"""Segmentation from natural language expressions: the parts that need no Caffe, and a thin wrapper.

Only :mod:`objseg.segmenter` imports Caffe; everything else is plain numpy and OpenCV.
"""
