"""A trained net as an ONNX file: Caffe's layers, their weights, and the graph around them."""
